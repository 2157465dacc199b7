"""`decide(state, command) → records`: what is to be written down, or why not. Writes nothing itself."""

from collections.abc import Callable
from itertools import takewhile
from typing import Any

from agentfield_rt.core import commands, records
from agentfield_rt.core.lifecycle import (
    COMMANDS,
    GATED,
    OPERATIONS,
    REPAIRABLE,
    OperationName,
    Phase,
    Reaction,
)
from agentfield_rt.core.names import is_name
from agentfield_rt.core.outcomes import (
    Records,
    connection_doubts,
    drop_gated,
    give_up,
    next_op_id,
    repair_needed,
    settle_done,
    settle_undone,
)
from agentfield_rt.core.records import GatePolicy
from agentfield_rt.core.state import OpenOperation, State
from agentfield_rt.errors import (
    GateOverflow,
    IllegalCommand,
    Reason,
    RestartBudgetSpent,
)
from agentfield_rt.frames import Media


def decide(state: State, command: commands.Command) -> Records:
    """The records that `command` leads to in `state`; empty when there is nothing to do.

    Raises:
        IllegalCommand: The phase does not allow it, or it contradicts an operation that is open.
        RestartBudgetSpent: The connection was replaced as often as it may be.
        RepairNeeded: An operation's outcome is unknown and this command is not safe meanwhile.
        GateOverflow: The gate takes no more frames.
    """
    command_type = type(command)
    if (settle := _SETTLERS.get(command_type)) is not None:
        return settle(state, command)
    reaction = COMMANDS[command_type].get(state.phase)
    if reaction is None:
        raise IllegalCommand(
            f"{type(command).__name__.lower()} is not possible while the session is {state.phase}"
        )
    if reaction is Reaction.IGNORE:
        return ()
    if state.unknown and command_type not in REPAIRABLE:
        raise repair_needed(state)
    return _DECIDERS[command_type](state, command)


def _opening(state: State, name: OperationName) -> str:
    if OPERATIONS[name].alone and state.open_named(name) is not None:
        raise IllegalCommand(f"another {name} of this session is still under way")
    return next_op_id(state)


def _opening_send(state: State, media: Media) -> str:
    """Audio does not wait for the rest to reach the disk, nor the rest for audio."""
    is_audio = media is Media.AUDIO
    for operation in state.open_operations.values():
        if operation.name is OperationName.SEND and (operation.media is Media.AUDIO) is is_audio:
            raise IllegalCommand("another send of this session is still under way")
    return next_op_id(state)


def _connect(state: State, command: commands.Connect) -> Records:
    return (records.ConnectRequested(op_id=_opening(state, OperationName.CONNECT), limits=command.limits),)


def _send(state: State, command: commands.Send) -> Records:
    if not is_name(command.frame_id):
        raise IllegalCommand("a frame's id is journaled: it is a name of 1 to 512 characters without spaces")
    # A newcomer never overtakes the frames that still wait.
    if state.phase in GATED or state.gated:
        return _gate(state, command)
    return (_send_requested(state, command.frame_id, command.media, command.size_bytes),)


def _gate(state: State, command: commands.Send) -> Records:
    if any(frame.frame_id == command.frame_id for frame in state.gated):
        raise IllegalCommand(f"frame {command.frame_id} waits for the connection already")
    applied = records.BackpressureApplied(
        frame_id=command.frame_id,
        media=command.media,
        size_bytes=command.size_bytes,
        action=records.GateAction.GATE,
    )
    match state.limits.policy:
        case GatePolicy.FAIL_SEND:
            raise GateOverflow("there is no connection at the moment, and no frame of this session waits")
        case GatePolicy.DROP_OLDEST_MEDIA if len(state.gated) >= state.limits.high_water:
            for frame in state.gated:
                if frame.media is Media.AUDIO:
                    dropped = records.InputDropped(frame_id=frame.frame_id, reason=Reason.OVERFLOW)
                    return (dropped, applied)
            raise GateOverflow(f"{len(state.gated)} frames wait, none of them audio; this one was not taken")
        case GatePolicy.GATE | GatePolicy.BLOCK if state.gate_full:
            raise GateOverflow(f"{len(state.gated)} frames wait for the connection; this one was not taken")
        case _:
            return (applied,)


def _send_requested(state: State, frame_id: str, media: Media, size_bytes: int) -> records.InputSendRequested:
    op_id = _opening_send(state, media)
    return records.InputSendRequested(op_id=op_id, frame_id=frame_id, media=media, size_bytes=size_bytes)


def _open_window(state: State, command: commands.OpenWindow) -> Records:
    if command.frames_max < 1:
        raise IllegalCommand("a window takes at least one frame")
    op_id = _opening_send(state, Media.AUDIO)
    return (records.InputSendRequested(op_id=op_id, media=Media.AUDIO, frames_max=command.frames_max),)


def _release(state: State, command: commands.Release) -> Records:
    """The oldest frame leaves the gate: audio through the window that is open, the rest by itself."""
    if not state.gated:
        return ()
    frame = state.gated[0]
    released = records.BackpressureReleased(frame_id=frame.frame_id)
    if frame.media is Media.AUDIO and _open_window_of(state) is not None:
        return (released,)
    return (released, _send_requested(state, frame.frame_id, frame.media, frame.size_bytes))


def _open_window_of(state: State) -> OpenOperation | None:
    for operation in state.open_operations.values():
        if operation.name is OperationName.SEND and operation.media is Media.AUDIO:
            return operation
    return None


def _receive(state: State, command: commands.Receive) -> Records:
    if command.demand < 1:
        raise IllegalCommand("a receive demands at least one event")
    op_id = _opening(state, OperationName.RECEIVE)
    return (records.OutputReceiveRequested(op_id=op_id, demand=command.demand),)


def _interrupt(state: State, command: commands.Interrupt) -> Records:
    response = state.responses.get(command.response_id)
    if response is None or response.interrupted:
        raise IllegalCommand(f"response {command.response_id} is not active")
    op_id = _opening(state, OperationName.INTERRUPT)
    return (
        records.InterruptRequested(op_id=op_id, response_id=command.response_id, heard_ms=command.heard_ms),
    )


def _refer(state: State, command: commands.Refer) -> Records:
    op_id = _opening(state, OperationName.REFER)
    return (records.ReferRequested(op_id=op_id, target_ref=command.target_ref),)


def _restart(state: State, command: commands.Restart) -> Records:
    if state.restarts_begun >= state.limits.restarts_max:
        raise RestartBudgetSpent(
            f"the connection was replaced {state.restarts_begun} times; close the session"
        )
    op_id = _opening(state, OperationName.RESTART)
    return (records.RestartRequested(reason=command.reason), records.RestartStarted(op_id=op_id))


def _close(state: State, command: commands.Close) -> Records:
    op_id = _opening(state, OperationName.CLOSE)
    return (*drop_gated(state, Reason.CANCELLED), records.CloseRequested(op_id=op_id, reason=command.reason))


def _lose(state: State, command: commands.LoseConnection) -> Records:
    return (records.ConnectionLost(reason=command.reason),)


def _fail(state: State, command: commands.Fail) -> Records:
    """End it here: every open operation gets its closer, every waiting frame its fate."""
    return (
        *give_up(state.open_operations.values(), command.reason),
        *drop_gated(state, command.reason),
        records.SessionFailed(reason=command.reason),
    )


def _recover(state: State, command: commands.Recover) -> Records:
    lost = records.ConnectionLost(reason=Reason.PROCESS_LOST)
    released = _released_unseen(state)
    return (
        *released,
        *give_up(state.open_operations.values(), Reason.PROCESS_LOST),
        *drop_gated(state, Reason.PROCESS_LOST)[len(released) :],
        *((lost,) if state.phase is Phase.OPEN else ()),
    )


def _released_unseen(state: State) -> Records:
    """Audio that left the gate through an open window waits for no disk, so a crash may have lost the record.

    It shares the window's doubt: to call it dropped would say that it certainly was not sent.
    """
    window = _open_window_of(state)
    if window is None or not state.is_open:
        return ()
    waiting = takewhile(lambda frame: frame.media is Media.AUDIO, state.gated[: window.frames_max])
    return tuple(records.BackpressureReleased(frame_id=frame.frame_id) for frame in waiting)


def _emergency_closed(state: State, command: commands.EmergencyClosed) -> Records:
    """Said afterwards, with the outcomes that could not be written when they came."""
    under_way = state.open_operations.values()
    doubts = connection_doubts(state, under_way) if command.told else ()
    return (
        *give_up(under_way, Reason.UNAVAILABLE),
        *drop_gated(state, Reason.UNAVAILABLE),
        *doubts,
        records.EmergencyClosed(reason=command.reason, told=command.told),
    )


def _reconcile(state: State, command: commands.Reconcile) -> Records:
    if command.op_id not in state.unknown:
        raise IllegalCommand(f"operation {command.op_id} is not waiting to be reconciled")
    return (records.Reconciled(op_id=command.op_id, decision=command.decision),)


_SETTLERS: dict[type[commands.Command], Callable[[State, Any], Records]] = {
    commands.Connected: settle_done,
    commands.Flowed: settle_done,
    commands.Received: settle_done,
    commands.Done: settle_done,
    commands.NotDone: settle_undone,
    commands.Unknown: settle_undone,
}

_DECIDERS: dict[type[commands.Command], Callable[[State, Any], Records]] = {
    commands.Connect: _connect,
    commands.Send: _send,
    commands.OpenWindow: _open_window,
    commands.Receive: _receive,
    commands.Interrupt: _interrupt,
    commands.Refer: _refer,
    commands.Restart: _restart,
    commands.Release: _release,
    commands.Close: _close,
    commands.LoseConnection: _lose,
    commands.Fail: _fail,
    commands.Recover: _recover,
    commands.EmergencyClosed: _emergency_closed,
    commands.Reconcile: _reconcile,
}
