"""The fold over any valid history: exact cursors, gate order, one closer per opener, no mutation."""

import copy
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfield_rt.core import commands, records
from agentfield_rt.core.commands import Command
from agentfield_rt.core.decide import decide
from agentfield_rt.core.evolve import replay
from agentfield_rt.core.lifecycle import CLOSES, OPENS, TERMINAL, Phase
from agentfield_rt.core.records import Record
from agentfield_rt.core.state import State
from agentfield_rt.errors import IllegalCommand, RealtimeError, Reason, ReplayMismatch
from agentfield_rt.frames import Media
from tests.core.situations import SESSION_ID, fold, host_commands, outcomes

STEPS = 60


def wander(seed: int, steps: int = STEPS) -> list[Record]:
    """A valid history: commands and outcomes at random, but few that end it."""
    choose = random.Random(seed)
    state, history = State(session_id=SESSION_ID), list[Record]()
    for step in range(steps):
        command = _choice(choose, state, step)
        try:
            decided = decide(state, command)
        except RealtimeError:
            continue
        state = fold(state, decided)
        history += decided
    return history


def _choice(choose: random.Random, state: State, step: int) -> Command:
    possible = [*host_commands(state), *outcomes(state)]
    command = choose.choice(possible)
    ends = isinstance(command, commands.Close | commands.Fail | commands.EmergencyClosed)
    if ends and choose.random() < 0.9:
        command = commands.Restart(Reason.CONNECTION_LOST) if step % 2 else commands.Connect()
    if isinstance(command, commands.Send):
        return commands.Send(f"frame-{step}", command.media, command.size_bytes)
    if isinstance(command, commands.Connected):
        return commands.Connected(command.op_id, f"connection-{step}")
    return command


seeds = st.integers(0, 2**32)


@given(seeds, st.integers(0, 200))
def test_folding_a_prefix_and_then_the_rest_is_folding_all_of_it(seed: int, at: int) -> None:
    history = wander(seed)
    assert fold(replay(SESSION_ID, history[:at]), tuple(history[at:])) == replay(SESSION_ID, history)


@given(seeds)
def test_the_fold_needs_nothing_but_the_records(seed: int) -> None:
    history = wander(seed)
    copied = copy.deepcopy(history)
    assert replay(SESSION_ID, history) == replay(SESSION_ID, copied)
    assert history == copied


@given(seeds)
def test_cursors_count_what_was_sent_and_received_and_never_go_back(seed: int) -> None:
    history = wander(seed)
    state = replay(SESSION_ID, history)
    sent = 0
    for record in history:
        match record:
            case records.InputSent(cursor=cursor, window=window):
                sent += 1 if window is None else window.frames
                assert cursor == sent
            case records.InputSendFailed(window=window) | records.InputSendUnknown(window=window):
                sent += 0 if window is None else window.frames
            case _:
                continue
    assert state.send_cursor == sent
    received = [record for record in history if isinstance(record, records.OutputReceived)]
    assert state.receive_cursor == sum(sum(record.events.values()) for record in received)
    completed = [record for record in history if isinstance(record, records.RestartCompleted)]
    assert state.restart_count == len(completed)


@given(seeds)
def test_every_closer_names_an_opener_before_it_and_no_opener_is_closed_twice(seed: int) -> None:
    opened: dict[str, str] = {}
    closed: Counter[str] = Counter()
    history = wander(seed)
    for record in history:
        op_id = getattr(record, "op_id", "")
        if type(record) in OPENS:
            assert op_id not in opened
            opened[op_id] = OPENS[type(record)]
        elif type(record) in CLOSES:
            assert opened[op_id] == CLOSES[type(record)][0]
            closed[op_id] += 1
    assert all(count == 1 for count in closed.values())
    assert set(opened) - set(closed) == set(replay(SESSION_ID, history).open_operations)


@given(seeds)
def test_gated_frames_leave_in_the_order_they_came_each_with_one_fate(seed: int) -> None:
    history = wander(seed)
    state = replay(SESSION_ID, history)
    came = [r.frame_id for r in history if isinstance(r, records.BackpressureApplied)]
    left = [r.frame_id for r in history if isinstance(r, records.BackpressureReleased | records.InputDropped)]
    assert came[: len(left)] == left
    assert [frame.frame_id for frame in state.gated] == came[len(left) :]
    assert state.gated_total == len(state.gated) + state.released_total + state.dropped_total
    if state.phase in TERMINAL:
        assert not state.gated


@given(seeds)
def test_nothing_is_asked_of_the_provider_while_the_gate_is_closed(seed: int) -> None:
    state = State(session_id=SESSION_ID)
    for record in wander(seed):
        if isinstance(record, records.InputSendRequested):
            assert state.phase is Phase.OPEN
        state = fold(state, (record,))


@settings(max_examples=30)
@given(seeds)
def test_an_unknown_outcome_lets_nothing_through_that_could_repeat_it(seed: int) -> None:
    state = State(session_id=SESSION_ID)
    harmless = records.OutputReceiveRequested | records.CloseRequested
    for record in wander(seed, 150):
        if type(record) in OPENS and not isinstance(record, harmless):
            assert not state.needs_repair
        state = fold(state, (record,))


def test_a_frame_that_waits_already_is_refused() -> None:
    state = replay(SESSION_ID, wander_to_restart())
    state = fold(state, decide(state, commands.Send("twin", Media.AUDIO, 960)))
    with pytest.raises(IllegalCommand, match="waits for the connection already"):
        decide(state, commands.Send("twin", Media.AUDIO, 960))


def test_a_conversation_is_restored_on_the_latest_connection_only() -> None:
    state = replay(
        SESSION_ID, [*wander_to_restart(), records.RestartCompleted(op_id="o2", connection_id="c2")]
    )
    restored = records.ConversationRestored(connection_id="c1", attempt=1, restored=1, gap_ms=1)
    with pytest.raises(ReplayMismatch, match="not the latest"):
        fold(state, (restored,))


def wander_to_restart() -> list[Record]:
    return [
        records.ConnectRequested(op_id="o1"),
        records.Connected(op_id="o1", connection_id="c1"),
        records.RestartRequested(reason=Reason.CONNECTION_LOST),
        records.RestartStarted(op_id="o2"),
    ]
