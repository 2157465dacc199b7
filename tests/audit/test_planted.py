"""Bugs planted in the runtime: what it then writes, its own fold finds right, and the auditor does not."""

# pyright: reportPrivateUsage=false

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agentfield_rt import run as run_module
from agentfield_rt.audit import Code, audit
from agentfield_rt.core import commands, evolve, outcomes, records
from agentfield_rt.core import completion as completion_module
from agentfield_rt.core import decide as decide_module
from agentfield_rt.core.lifecycle import COMMANDS, TRANSITIONS, Phase, Reaction
from agentfield_rt.core.records import Record
from agentfield_rt.core.state import State
from agentfield_rt.errors import RunIncomplete
from tests.audit.story import CALL, dispatch, stored
from tests.core.test_fold import wander
from tests.planting import Bug, Bugs, Plant, always

SEEDS = 400
EFFECTS: dict[Any, Any] = evolve._EFFECTS


PLANTED = Bugs()
CODES = set[Code]()


def planted(wrong: str, code: Code) -> Callable[[Plant], Plant]:
    """Registers a bug under what it does wrong, with what the auditor must say."""

    def no_journal_has_it() -> None:
        assert not any(_found(history, code) for history in journals())

    CODES.add(code)
    return PLANTED.planted(wrong, seen_by=no_journal_has_it)


@planted("frames are sent while the connection is replaced", Code.SENT_WHILE_RESTARTING)
def sends_into_a_restart(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(TRANSITIONS[records.InputSendRequested], Phase.RESTARTING, Phase.RESTARTING)
    patch.setitem(COMMANDS[commands.Send], Phase.RESTARTING, Reaction.ACT)
    patch.setattr(decide_module, "GATED", frozenset({Phase.DEGRADED}))


@planted("a session that is closed can be connected again", Code.IMPOSSIBLE_PHASE)
def closed_is_not_the_end(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(TRANSITIONS[records.ConnectRequested], Phase.CLOSED, Phase.CONNECTING)
    patch.setitem(COMMANDS[commands.Connect], Phase.CLOSED, Reaction.ACT)


@planted("a doubt stops nothing", Code.WENT_PAST_DOUBT)
def doubt_is_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide_module, "REPAIRABLE", frozenset(COMMANDS))


@planted("what was sent is not counted", Code.WRONG_CURSOR)
def cursor_stands_still(patch: pytest.MonkeyPatch) -> None:
    patch.delitem(EFFECTS, records.InputSent)


@planted("an outcome is recorded and its operation stays open", Code.CLOSED_TWICE)
def operations_stay_open(patch: pytest.MonkeyPatch) -> None:
    original = evolve._close

    def close(state: Any, record: Any, closing: Any, changes: Any) -> None:
        original(state, record, closing, changes)
        if isinstance(record, records.InputSent):
            del changes["open_operations"]

    patch.setattr(evolve, "_close", close)


@planted("frames behind the gate are forgotten at the hang-up", Code.FRAME_WITHOUT_FATE)
def close_before_drain(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide_module, "drop_gated", always(()))


@planted("the gate takes frames without end", Code.GATE_OVERFULL)
def gate_has_no_bound(patch: pytest.MonkeyPatch) -> None:
    small = records.Limits(high_water=1, low_water=0)

    def connect(state: State, _: commands.Connect) -> tuple[Record, ...]:
        return (records.ConnectRequested(op_id=outcomes.next_op_id(state), limits=small),)

    patch.setitem(decide_module._DECIDERS, commands.Connect, connect)
    patch.delitem(EFFECTS, records.ConnectRequested)


@planted("interrupting names whatever comes", Code.WRONG_RESPONSE)
def interrupts_anything(patch: pytest.MonkeyPatch) -> None:
    def interrupt(state: State, command: commands.Interrupt) -> tuple[Record, ...]:
        return (
            records.InterruptRequested(op_id=outcomes.next_op_id(state), response_id=command.response_id),
        )

    patch.setitem(decide_module._DECIDERS, commands.Interrupt, interrupt)
    patch.delitem(EFFECTS, records.InterruptRequested)


@planted("closers forget who opened", Code.OPENER_NOT_NAMED)
def links_are_lost(patch: pytest.MonkeyPatch) -> None:
    original = run_module.Run._link

    def link(self: run_module.Run, record: Record, record_id: str) -> tuple[str | None, str | None]:
        return original(self, record, record_id)[0], None

    patch.setattr(run_module.Run, "_link", link)


@planted("references stay inside the payload", Code.REFS_DIFFER)
def refs_are_hidden(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(run_module, "_content_refs", always(()))


@planted("a run is sealed with an open delivery", Code.SEALED_EARLY)
def seals_anything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(completion_module.Completion, "unfinished", always([]))


LEFT_OPEN: list[Record] = [*CALL, dispatch("d9", "key-9")]


def journals() -> Iterator[list[Record]]:
    """The call with something left open, and sessions at random."""
    yield LEFT_OPEN
    yield from (history for seed in range(SEEDS) if (history := wander(seed)))


@pytest.mark.parametrize("bug", PLANTED, ids=str)
def test_a_planted_bug_of_the_runtime_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.must_be_noticed(monkeypatch, AssertionError)


def test_without_a_bug_nothing_of_it_is_found() -> None:
    assert not [code for code in CODES if _found(LEFT_OPEN, code)]


def _found(history: list[Record], code: Code) -> bool:
    """Whether the auditor says `code` of this history, sealed where it is the call."""
    last = records.RunCompleted() if history[0].kind == "session_started" else None
    try:
        envelopes = stored(history, last)
    except RunIncomplete:
        envelopes = stored(history)
    return any(finding.code is code for finding in audit(envelopes).findings)
