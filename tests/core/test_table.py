"""The lifecycle table: every phase against every command, and every record against every phase."""

from collections.abc import Iterator
from typing import get_args

import pytest

from agentfield_rt.core import commands, records
from agentfield_rt.core.commands import Command
from agentfield_rt.core.decide import decide
from agentfield_rt.core.evolve import evolve
from agentfield_rt.core.lifecycle import (
    CLOSES,
    COMMANDS,
    GATED,
    OPENERS,
    OPENS,
    OPERATIONS,
    TERMINAL,
    TRANSITIONS,
    OperationName,
    Outcome,
    Phase,
    Reaction,
)
from agentfield_rt.core.records import RECORD_TYPES, RealtimeRecord, Record
from agentfield_rt.core.state import State
from agentfield_rt.errors import IllegalCommand, RealtimeError, RepairNeeded, ReplayMismatch
from tests.core.situations import HISTORIES, fold, host_commands, outcomes, situation

HOST_COMMANDS = set(COMMANDS)
OUTCOMES = {
    commands.Connected,
    commands.Flowed,
    commands.Received,
    commands.Done,
    commands.NotDone,
    commands.Unknown,
}


def _grid() -> Iterator[tuple[str, Command]]:
    for name in HISTORIES:
        state = situation(name)
        for command in (*host_commands(state), *outcomes(state)):
            yield name, command


@pytest.mark.parametrize("name", HISTORIES)
def test_a_command_is_refused_or_leads_to_records_that_fold(name: str) -> None:
    state = situation(name)
    for command in (*host_commands(state), *outcomes(state)):
        try:
            decided = decide(state, command)
        except (IllegalCommand, RepairNeeded):
            continue
        fold(state, decided)
        assert state == situation(name), f"{command} changed the state it was given"


@pytest.mark.parametrize("name", HISTORIES)
def test_a_command_the_table_does_not_list_is_refused_and_an_ignored_one_writes_nothing(name: str) -> None:
    state = situation(name)
    for command in host_commands(state):
        reaction = COMMANDS[type(command)].get(state.phase)
        if reaction is None:
            with pytest.raises(IllegalCommand, match=f"not possible while the session is {state.phase}"):
                decide(state, command)
        elif reaction is Reaction.IGNORE:
            assert decide(state, command) == ()


def test_the_situations_cover_every_phase() -> None:
    assert {situation(name).phase for name in HISTORIES} == set(Phase)


def test_every_command_is_in_the_table_or_reports_an_outcome() -> None:
    assert set(get_args(Command)) == HOST_COMMANDS | OUTCOMES
    assert HOST_COMMANDS.isdisjoint(OUTCOMES)


@pytest.mark.parametrize("name", HISTORIES)
def test_an_outcome_that_does_not_fit_its_operation_is_refused(name: str) -> None:
    fits = {
        OperationName.CONNECT: (commands.Connected,),
        OperationName.RESTART: (commands.Connected,),
        OperationName.RECEIVE: (commands.Received,),
        OperationName.SEND: (commands.Done, commands.Flowed),
        OperationName.INTERRUPT: (commands.Done,),
        OperationName.REFER: (commands.Done,),
        OperationName.CLOSE: (commands.Done,),
    }
    state = situation(name)
    for command in outcomes(state):
        match command:
            case (
                commands.Connected(op_id)
                | commands.Flowed(op_id)
                | commands.Received(op_id)
                | commands.Done(op_id)
            ):
                operation = state.open_operations.get(op_id)
            case _:
                continue
        if operation is not None and type(command) not in fits[operation.name]:
            with pytest.raises(IllegalCommand):
                decide(state, command)


@pytest.mark.parametrize("name", HISTORIES)
def test_an_outcome_of_an_operation_that_is_closed_writes_nothing(name: str) -> None:
    state = situation(name)
    for command in outcomes(state):
        if getattr(command, "op_id", None) == "gone":
            assert decide(state, command) == ()


def test_transitions_name_exactly_the_realtime_records() -> None:
    assert set(TRANSITIONS) == set(get_args(RealtimeRecord))
    assert set(TRANSITIONS) <= set(RECORD_TYPES.values())


def test_every_operation_has_one_opener_and_its_closers_belong_to_nobody_else() -> None:
    assert set(OPERATIONS) == set(OperationName)
    assert len(OPENS) == len(OPERATIONS)
    for name, operation in OPERATIONS.items():
        assert OPENS[operation.opener] is name
        for closer in (operation.done, operation.not_done, operation.unknown):
            assert CLOSES[closer][0] is name
            assert closer not in OPENS
    assert OPENERS >= set(OPENS)
    assert set(CLOSES) <= set(TRANSITIONS)


@pytest.mark.parametrize("name", OperationName)
def test_an_unknown_outcome_needs_repair_exactly_where_repeating_would_do_harm(name: OperationName) -> None:
    harmless = {OperationName.RECEIVE, OperationName.INTERRUPT}
    assert OPERATIONS[name].repair is (name not in harmless)
    assert (CLOSES[OPERATIONS[name].unknown][1] is Outcome.UNKNOWN) is (name is not OperationName.RECEIVE)


def test_nothing_but_a_reconciliation_follows_the_end() -> None:
    for record_type, steps in TRANSITIONS.items():
        if record_type is not records.Reconciled:
            assert TERMINAL.isdisjoint(steps), record_type.kind
        assert all(steps[phase] is phase for phase in TERMINAL & set(steps))


def test_no_send_is_asked_for_while_the_gate_is_closed() -> None:
    assert GATED.isdisjoint(TRANSITIONS[records.InputSendRequested])
    assert set(TRANSITIONS[records.InputSendRequested]) == {Phase.OPEN}
    assert {
        phase for phase, reaction in COMMANDS[commands.Send].items() if reaction is Reaction.GATE
    } == GATED


@pytest.mark.parametrize("record_type", TRANSITIONS, ids=lambda record_type: record_type.kind)
def test_every_record_of_the_table_is_reached_and_accepted(record_type: type[Record]) -> None:
    assert record_type in _reached()


def _reached() -> set[type[Record]]:
    """Record types that some history has or that some command leads to from one."""
    reached = {type(record) for history in HISTORIES.values() for record in history}
    for name, command in _grid():
        try:
            reached |= {type(record) for record in decide(situation(name), command)}
        except RealtimeError:
            continue
    return reached


@pytest.mark.parametrize("name", HISTORIES)
def test_a_record_that_cannot_follow_is_refused_loudly(name: str) -> None:
    state = situation(name)
    for record in _one_of_each():
        if state.phase not in TRANSITIONS[type(record)]:
            with pytest.raises(ReplayMismatch, match="cannot follow in phase"):
                evolve(state, record)


def _one_of_each() -> list[Record]:
    found: dict[type[Record], Record] = {}
    for name, command in _grid():
        try:
            decided = decide(situation(name), command)
        except RealtimeError:
            continue
        found |= {type(record): record for record in decided}
    return list(found.values())


def test_a_record_of_another_feature_is_not_folded() -> None:
    with pytest.raises(ReplayMismatch, match="run_completed is not a record of a realtime session"):
        evolve(State(session_id="s"), records.RunCompleted())


def test_records_have_kinds_of_their_own() -> None:
    types = list(RECORD_TYPES.values())
    assert len({t.kind for t in types}) == len(types)
    assert all(RECORD_TYPES[t.kind] is t for t in types)
