"""Sessions in every situation the table knows, each by its records, and all that may be asked of them."""

from collections.abc import Iterator

from agentfield_rt.core import commands, records
from agentfield_rt.core.commands import Command
from agentfield_rt.core.evolve import evolve, replay
from agentfield_rt.core.records import Decision, GateAction, Record, WindowTally
from agentfield_rt.core.state import State
from agentfield_rt.errors import CloseReason, Reason
from agentfield_rt.frames import Media

SESSION_ID = "sess_00000001"

CONNECTING: list[Record] = [records.ConnectRequested(op_id="o1")]
OPEN: list[Record] = [*CONNECTING, records.Connected(op_id="o1", connection_id="c1")]
SENDING: list[Record] = [
    *OPEN,
    records.InputSendRequested(op_id="o2", frame_id="f1", media=Media.TEXT, size_bytes=5),
]
RECEIVING: list[Record] = [*OPEN, records.OutputReceiveRequested(op_id="o2", demand=8)]
ANSWERING: list[Record] = [
    *RECEIVING,
    records.OutputReceived(op_id="o2", cursor=1, events={"ResponseStarted": 1}, started=("r1",)),
]
FLOWING: list[Record] = [
    *OPEN,
    records.InputSendRequested(op_id="o2", media=Media.AUDIO, frames_max=50),
]
INTERRUPTING: list[Record] = [*ANSWERING, records.InterruptRequested(op_id="o3", response_id="r1")]
REFERRING: list[Record] = [*OPEN, records.ReferRequested(op_id="o2", target_ref="ref.target")]
RESTART: list[Record] = [
    records.RestartRequested(reason=Reason.CONNECTION_LOST),
    records.RestartStarted(op_id="o9"),
]


def _gated(frame_id: str) -> Record:
    return records.BackpressureApplied(
        frame_id=frame_id, media=Media.AUDIO, size_bytes=960, action=GateAction.GATE
    )


HISTORIES: dict[str, list[Record]] = {
    "idle": [],
    "connecting": CONNECTING,
    "connect unknown": [*CONNECTING, records.ConnectUnknown(op_id="o1", reason=Reason.TIMEOUT)],
    "open": OPEN,
    "open, sending": SENDING,
    "open, receiving": RECEIVING,
    "open, answering": ANSWERING,
    "open, interrupting": INTERRUPTING,
    "open, referring": REFERRING,
    "open, refer unknown": [*REFERRING, records.ReferUnknown(op_id="o2", reason=Reason.TIMEOUT)],
    "restarting, referring": [*REFERRING, *RESTART],
    "open, send unknown": [*SENDING, records.InputSendUnknown(op_id="o2", reason=Reason.TIMEOUT)],
    "open, audio flowing": FLOWING,
    "open, audio flowing and a text on its way": [
        *FLOWING,
        records.InputSendRequested(op_id="o3", frame_id="f1", media=Media.TEXT, size_bytes=5),
    ],
    "restarting": [*ANSWERING, *RESTART],
    "restarting, sending": [*SENDING, *RESTART],
    "restarting, receiving": [*RECEIVING, *RESTART],
    "restarting, frames gated": [*OPEN, *RESTART, _gated("g1"), _gated("g2")],
    "open, frames gated": [
        *OPEN,
        *RESTART,
        _gated("g1"),
        _gated("g2"),
        records.RestartCompleted(op_id="o9", connection_id="c2"),
        records.ConversationRestored(connection_id="c2", attempt=1, restored=3, gap_ms=40),
    ],
    "open, frames gated, audio flowing": [
        *OPEN,
        *RESTART,
        _gated("g1"),
        _gated("g2"),
        records.RestartCompleted(op_id="o9", connection_id="c2"),
        records.InputSendRequested(op_id="o10", media=Media.AUDIO, frames_max=50),
    ],
    "degraded by loss": [*OPEN, records.ConnectionLost(reason=Reason.CONNECTION_LOST)],
    "degraded by loss, frames gated": [
        *OPEN,
        records.ConnectionLost(reason=Reason.CONNECTION_LOST),
        _gated("g1"),
    ],
    "restart failed": [*OPEN, *RESTART, records.RestartFailed(op_id="o9", reason=Reason.UNAVAILABLE)],
    "restart unknown": [*OPEN, *RESTART, records.RestartUnknown(op_id="o9", reason=Reason.TIMEOUT)],
    "closing": [*OPEN, records.CloseRequested(op_id="o9", reason=CloseReason.NORMAL)],
    "closing, all under way": [
        *INTERRUPTING,
        records.OutputReceiveRequested(op_id="o4", demand=1),
        records.InputSendRequested(op_id="o5", frame_id="f1", media=Media.SPEECH, size_bytes=5),
        *RESTART,
        records.CloseRequested(op_id="o10", reason=CloseReason.NORMAL),
    ],
    "close failed": [
        *OPEN,
        records.CloseRequested(op_id="o9", reason=CloseReason.NORMAL),
        records.CloseFailed(op_id="o9", reason=Reason.UNAVAILABLE),
    ],
    "close unknown": [
        *OPEN,
        records.CloseRequested(op_id="o9", reason=CloseReason.NORMAL),
        records.CloseUnknown(op_id="o9", reason=Reason.TIMEOUT),
    ],
    "closed": [
        *OPEN,
        records.CloseRequested(op_id="o9", reason=CloseReason.NORMAL),
        records.Closed(op_id="o9", reason=CloseReason.NORMAL),
    ],
    "detaching": [*OPEN, records.CloseRequested(op_id="o9", reason=CloseReason.DETACH)],
    "detached": [
        *OPEN,
        records.CloseRequested(op_id="o9", reason=CloseReason.DETACH),
        records.Detached(op_id="o9"),
    ],
    "closed in an emergency": [
        *OPEN,
        records.EmergencyClosed(reason=CloseReason.NORMAL, told=True),
    ],
    "failed": [*OPEN, records.SessionFailed(reason=Reason.INTERNAL)],
}


def situation(name: str) -> State:
    """The state after one of `HISTORIES`."""
    return replay(SESSION_ID, HISTORIES[name])


def host_commands(state: State) -> Iterator[Command]:
    """Everything a host may ask, also what cannot be meant in this state."""
    yield commands.Connect()
    yield commands.Send("f7", Media.AUDIO, 960)
    yield commands.Send("f8", Media.TEXT, 3)
    yield commands.OpenWindow(50)
    yield commands.Receive(1)
    yield commands.Interrupt("nobody")
    for response_id in state.responses:
        yield commands.Interrupt(response_id, heard_ms=40)
    yield commands.Refer("ref.target")
    yield commands.Restart(Reason.CONNECTION_LOST)
    yield commands.Release()
    yield commands.Close(CloseReason.NORMAL)
    yield commands.LoseConnection(Reason.CONNECTION_LOST)
    yield commands.Close(CloseReason.DETACH)
    yield commands.Fail(Reason.INTERNAL)
    yield commands.Recover()
    yield commands.EmergencyClosed(CloseReason.NORMAL, told=True)
    yield commands.EmergencyClosed(CloseReason.NORMAL, told=False)
    yield commands.Reconcile("nothing", Decision.DONE)
    for op_id in state.unknown:
        for decision in Decision:
            yield commands.Reconcile(op_id, decision)


def outcomes(state: State) -> Iterator[Command]:
    """Everything an adapter call may come to, for operations that are open and one that is not."""
    for op_id in (*state.open_operations, "gone"):
        yield commands.Connected(op_id, "c9")
        yield commands.Received(op_id, events={"Notice": 1, "ResponseStarted": 1}, started=("r9",))
        yield commands.Received(op_id, events={}, late={"r1": 2})
        yield commands.Received(op_id, events={"OutputAudio": 7}, audio=tally(7), renew=8)
        yield commands.Flowed(op_id, tally(0))
        yield commands.Flowed(op_id, tally(1))
        yield commands.Flowed(op_id, tally(1), renew=50)
        yield commands.Done(op_id)
        yield commands.NotDone(op_id, Reason.UNAVAILABLE)
        yield commands.Unknown(op_id, Reason.TIMEOUT)
        operation = state.open_operations.get(op_id)
        if operation is not None and operation.frames_max > 1:
            yield commands.NotDone(op_id, Reason.UNAVAILABLE, tally(2))
            yield commands.Unknown(op_id, Reason.TIMEOUT, tally(2))


def tally(frames: int) -> WindowTally:
    """So many frames of 20 ms."""
    return WindowTally(frames=frames, size_bytes=960 * frames, duration_ms=20 * frames, digest=bytes(32))


def fold(state: State, decided: tuple[Record, ...]) -> State:
    """`state` after `decided`."""
    for record in decided:
        state = evolve(state, record)
    return state
