"""Given records, when commands, then records: the sequences a reader of a journal will meet."""

import pytest

from agentfield_rt.core import commands, records
from agentfield_rt.core.commands import Command
from agentfield_rt.core.decide import decide
from agentfield_rt.core.delivery import event_name, is_mark
from agentfield_rt.core.evolve import evolve
from agentfield_rt.core.lifecycle import FEATURE_OPERATIONS, LOST_AS, OperationName, Phase
from agentfield_rt.core.outcomes import lost, next_op_id
from agentfield_rt.core.records import Decision, Record
from agentfield_rt.core.state import RESPONSES_MAX, State
from agentfield_rt.errors import CloseReason, IllegalCommand, Reason, RepairNeeded, ReplayMismatch
from agentfield_rt.frames import (
    InputTranscript,
    Media,
    Notice,
    OutputAudio,
    OutputTranscript,
    ProviderEvent,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
)
from tests.core.situations import SESSION_ID, fold, situation


def run(state: State, *asked: Command) -> tuple[State, list[Record]]:
    """Decide and fold one command after another."""
    written: list[Record] = []
    for command in asked:
        decided = decide(state, command)
        written += decided
        state = fold(state, decided)
    return state, written


def kinds(written: list[Record]) -> list[str]:
    return [record.kind for record in written]


def op(number: int) -> str:
    return next_op_id(State(session_id=SESSION_ID, operations_total=number - 1))


def test_the_reference_happy_path_comes_out_kind_by_kind_and_then_our_release() -> None:
    state, written = run(
        State(session_id=SESSION_ID),
        commands.Connect(),
        commands.Connected(op(1), "c1"),
        commands.Send("f1", Media.TEXT, 2),
        commands.Done(op(2)),
        commands.Receive(1),
        commands.Received(op(3), events={"ResponseStarted": 1}, started=("r1",)),
        commands.Interrupt("r1"),
        commands.Done(op(4)),
        commands.Restart(Reason.CONNECTION_LOST),
        commands.Send("f2", Media.TEXT, 2),
        commands.Connected(op(5), "c2"),
        commands.Release(),
        commands.Done(op(6)),
    )
    assert kinds(written) == [
        "realtime_connect_requested",
        "realtime_connected",
        "realtime_input_send_requested",
        "realtime_input_sent",
        "realtime_output_receive_requested",
        "realtime_output_received",
        "realtime_interrupt_requested",
        "realtime_interrupted",
        "realtime_restart_requested",
        "realtime_restart_started",
        "realtime_backpressure_applied",
        "realtime_restart_completed",
        "realtime_backpressure_released",
        "realtime_input_send_requested",
        "realtime_input_sent",
    ]
    assert (state.phase, state.send_cursor, state.receive_cursor, state.restart_count) == (
        Phase.OPEN,
        2,
        1,
        1,
    )
    assert state.connection_id == "c2"


def test_a_receive_or_an_interrupt_during_a_restart_does_not_open_the_gate() -> None:
    state, written = run(
        situation("restarting"),
        commands.Receive(1),
        commands.Send("f1", Media.AUDIO, 960),
        commands.Interrupt("r1"),
        commands.Send("f2", Media.AUDIO, 960),
    )
    assert kinds(written) == [
        "realtime_output_receive_requested",
        "realtime_backpressure_applied",
        "realtime_interrupt_requested",
        "realtime_backpressure_applied",
    ]
    assert state.phase is Phase.RESTARTING
    assert state.last_operation is OperationName.RECEIVE


def test_a_session_whose_connection_is_unknown_can_only_be_reconciled_failed_or_closed() -> None:
    state = situation("connect unknown")
    for refused in (commands.Send("f", Media.TEXT, 1), commands.Restart(Reason.TIMEOUT)):
        with pytest.raises(RepairNeeded) as caught:
            decide(state, refused)
        assert caught.value.op_ids == ("o1",)
    state, written = run(state, commands.Close(CloseReason.CANCEL), commands.Done(op(2)))
    assert kinds(written) == ["realtime_close_requested", "realtime_reconciled", "realtime_closed"]
    assert not state.needs_repair


def test_an_unknown_text_frame_needs_repair_and_an_unknown_audio_frame_is_given_up() -> None:
    for media, needs_repair in ((Media.TEXT, True), (Media.SPEECH, True), (Media.AUDIO, False)):
        state, written = run(
            situation("open"), commands.Send("f1", media, 4), commands.Unknown(op(2), Reason.TIMEOUT)
        )
        assert state.needs_repair is needs_repair
        assert (written[-1].kind == "realtime_reconciled") is not needs_repair


def test_doubt_about_a_frame_outlives_the_hang_up() -> None:
    state, _ = run(situation("open, send unknown"), commands.Close(CloseReason.NORMAL), commands.Done(op(3)))
    assert state.phase is Phase.CLOSED
    assert list(state.unknown) == ["o2"]
    state, written = run(state, commands.Reconcile("o2", Decision.DONE))
    assert kinds(written) == ["realtime_reconciled"]
    assert not state.needs_repair


def test_an_operation_is_reconciled_once() -> None:
    state, _ = run(situation("open, send unknown"), commands.Reconcile("o2", Decision.NOT_DONE))
    with pytest.raises(IllegalCommand):
        decide(state, commands.Reconcile("o2", Decision.NOT_DONE))
    with pytest.raises(ReplayMismatch):
        evolve(state, records.Reconciled(op_id="o2", decision=Decision.NOT_DONE))


def test_a_send_that_a_restart_overtook_is_unknown_even_if_it_reports_success() -> None:
    _, written = run(situation("restarting, sending"), commands.Done("o2"))
    assert written == [records.InputSendUnknown(op_id="o2", reason=Reason.SUPERSEDED)]


def test_closing_drops_what_waits_behind_the_gate_before_it_asks() -> None:
    _, written = run(situation("open, frames gated"), commands.Close(CloseReason.NORMAL))
    assert [getattr(record, "frame_id", None) for record in written] == ["g1", "g2", None]
    assert kinds(written)[-1] == "realtime_close_requested"


def test_failing_gives_every_open_operation_a_closer_and_every_waiting_frame_a_fate() -> None:
    state, written = run(situation("closing, all under way"), commands.Fail(Reason.INTERNAL))
    assert written[-1] == records.SessionFailed(reason=Reason.INTERNAL)
    assert not state.open_operations
    state, written = run(situation("restarting, frames gated"), commands.Fail(Reason.INTERNAL))
    assert not state.gated
    assert kinds(written).count("realtime_input_dropped") == 2


def test_hanging_up_ends_the_doubt_about_everything_that_was_still_under_way_but_a_frame() -> None:
    state, written = run(situation("closing, all under way"), commands.Done("o10"))
    assert state.phase is Phase.CLOSED
    assert not state.open_operations
    assert list(state.unknown) == ["o5"]
    assert kinds(written) == [
        "realtime_interrupt_unknown",
        "realtime_output_receive_failed",
        "realtime_input_send_unknown",
        "realtime_restart_unknown",
        "realtime_reconciled",
        "realtime_closed",
    ]


def test_a_failed_close_may_be_tried_again_and_closes_once() -> None:
    state, written = run(situation("close failed"), commands.Close(CloseReason.NORMAL), commands.Done(op(3)))
    assert kinds(written) == ["realtime_close_requested", "realtime_closed"]
    assert decide(state, commands.Close(CloseReason.NORMAL)) == ()


@pytest.mark.parametrize(
    ("second", "first"),
    [
        (commands.Send("f9", Media.TEXT, 1), "open, sending"),
        (commands.Receive(1), "open, receiving"),
        (commands.Close(CloseReason.NORMAL), "closing"),
    ],
)
def test_an_operation_that_must_be_alone_is_refused_while_one_is_under_way(
    second: Command, first: str
) -> None:
    with pytest.raises(IllegalCommand, match="still under way"):
        decide(situation(first), second)


def test_only_an_active_response_is_interrupted_and_only_once() -> None:
    with pytest.raises(IllegalCommand, match="not active"):
        decide(situation("open"), commands.Interrupt("r1"))
    with pytest.raises(IllegalCommand, match="not active"):
        decide(situation("open, interrupting"), commands.Interrupt("r1"))


def test_a_response_whose_interrupt_certainly_failed_is_delivered_again() -> None:
    state, _ = run(situation("open, interrupting"), commands.NotDone("o3", Reason.NOT_FOUND))
    assert not state.responses["r1"].interrupted


def test_an_interrupt_that_fails_after_a_restart_does_not_bring_the_old_response_back() -> None:
    state, _ = run(
        situation("open, interrupting"),
        commands.Restart(Reason.CONNECTION_LOST),
        commands.Connected(op(4), "c2"),
        commands.NotDone("o3", Reason.NOT_FOUND),
    )
    assert state.responses["r1"].interrupted


def test_a_response_announced_twice_stays_interrupted() -> None:
    state, _ = run(
        situation("open, interrupting"),
        commands.Receive(1),
        commands.Received(op(4), events={"ResponseStarted": 1}, started=("r1",)),
    )
    assert state.responses["r1"].interrupted


def test_the_responses_of_a_replaced_connection_are_never_delivered_again() -> None:
    state, _ = run(situation("restarting"), commands.Connected("o9", "c2"))
    assert state.responses["r1"].interrupted
    with pytest.raises(IllegalCommand):
        decide(state, commands.Interrupt("r1"))


def test_only_the_latest_responses_are_remembered() -> None:
    started = tuple(f"r{number}" for number in range(RESPONSES_MAX + 3))
    received = commands.Received("o2", events={"ResponseStarted": 1}, started=started)
    state, _ = run(situation("open, receiving"), received)
    assert tuple(state.responses) == started[3:]


def test_a_loss_counts_once_and_only_where_there_is_a_connection() -> None:
    lose = commands.LoseConnection(Reason.CONNECTION_LOST)
    state, written = run(situation("open"), lose, lose)
    assert kinds(written) == ["realtime_connection_lost"]
    assert state.phase is Phase.DEGRADED
    state, _ = run(situation("restarting"), lose)
    assert state.phase is Phase.RESTARTING


def test_operation_ids_count_on_and_are_never_used_again() -> None:
    state = situation("open, send unknown")
    with pytest.raises(ReplayMismatch, match="opened twice"):
        evolve(state, records.OutputReceiveRequested(op_id="o2", demand=1))
    assert next_op_id(state) == op(3)
    assert next_op_id(state).endswith(".3")


def test_sessions_with_ids_that_end_alike_name_their_operations_apart() -> None:
    one, other = (next_op_id(State(session_id=f"{who}-session-1")) for who in ("caller", "callee"))
    assert one != other


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("open, sending", records.InputSent(op_id="o2", cursor=2)),
        ("open, receiving", records.OutputReceived(op_id="o2", cursor=2, events={"Notice": 1})),
        ("open, sending", records.InputSent(op_id="o7", cursor=1)),
        ("open, receiving", records.InputSent(op_id="o2", cursor=1)),
        ("open", records.InterruptRequested(op_id="o2", response_id="r1")),
        ("open, frames gated", records.BackpressureReleased(frame_id="g2")),
        ("open, frames gated", records.InputDropped(frame_id="g9", reason=Reason.CANCELLED)),
        ("open", records.BackpressureReleased(frame_id="g1")),
    ],
)
def test_a_record_that_contradicts_the_records_before_it_is_refused(name: str, record: Record) -> None:
    with pytest.raises(ReplayMismatch):
        evolve(situation(name), record)


def test_a_receive_demands_at_least_one_event() -> None:
    with pytest.raises(IllegalCommand, match="at least one"):
        decide(situation("open"), commands.Receive(0))


def test_a_connection_comes_only_once() -> None:
    state, _ = run(situation("open"), commands.Restart(Reason.CONNECTION_LOST))
    (restarting,) = state.open_operations
    with pytest.raises(ReplayMismatch, match="came twice"):
        evolve(state, records.RestartCompleted(op_id=restarting, connection_id="c1"))


def test_the_end_of_a_response_that_is_not_remembered_changes_nothing() -> None:
    ended = commands.Received(
        "o2", events={"ResponseStarted": 1, "ResponseEnded": 1}, started=("r1",), ended=("old",)
    )
    state, _ = run(situation("open, receiving"), ended)
    assert list(state.responses) == ["r1"]
    assert state.responses["r1"].generating


def test_a_failed_interrupt_does_not_bring_back_a_response_that_is_not_remembered() -> None:
    started = tuple(f"new{number}" for number in range(RESPONSES_MAX))
    state, _ = run(
        situation("open, interrupting"),
        commands.Receive(1),
        commands.Received(op(4), events={"ResponseStarted": len(started)}, started=started),
        commands.NotDone("o3", Reason.NOT_FOUND),
    )
    assert tuple(state.responses) == started


@pytest.mark.parametrize("opener", LOST_AS, ids=lambda opener: opener.kind)
def test_what_a_dead_process_left_open_is_closed_as_lost(opener: type[Record]) -> None:
    closer = lost(opener, "o7")
    assert type(closer) is LOST_AS[opener]
    assert type(closer) in FEATURE_OPERATIONS[opener]
    assert getattr(closer, "op_id", None) == "o7"


@pytest.mark.parametrize(
    ("event", "is_marked"),
    [
        (InputTranscript("i1", "hello", final=True), True),
        (InputTranscript("i1", "hel", final=False), False),
        (ResponseStarted("r1"), True),
        (SpeechStarted("i1"), True),
        (SpeechStopped("i1"), False),
        (OutputAudio("r1", "i1", bytes(2)), False),
        (OutputTranscript("r1", "i1", "hello"), False),
        (Notice("rate_limits.updated"), False),
    ],
)
def test_the_journal_says_at_once_when_something_begins_or_ends(
    event: ProviderEvent, is_marked: bool
) -> None:
    assert is_mark(event) is is_marked


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (Notice("rate_limits.updated"), "rate_limits.updated"),
        (Notice("You said hello"), "Notice"),
        (ResponseStarted("r1"), "ResponseStarted"),
    ],
)
def test_a_name_is_journaled_and_free_text_never_is(event: ProviderEvent, name: str) -> None:
    assert event_name(event) == name
