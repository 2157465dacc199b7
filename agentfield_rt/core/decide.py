"""`decide(state, command) → records`: what is to be written down, or why not. Writes nothing itself."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import sha256
from typing import Any

from agentfield_rt.core import commands, records
from agentfield_rt.core.lifecycle import (
    CLOSES,
    COMMANDS,
    GATED,
    OPERATIONS,
    REPAIRABLE,
    OperationName,
    Outcome,
    Reaction,
)
from agentfield_rt.core.records import Record
from agentfield_rt.core.state import OpenOperation, State
from agentfield_rt.errors import GateOverflow, IllegalCommand, Reason, RepairNeeded
from agentfield_rt.frames import Media

Records = tuple[Record, ...]

_DONE = frozenset(record_type for record_type, (_, outcome) in CLOSES.items() if outcome is Outcome.DONE)

GATED_FRAMES_MAX = 512
"""Frames that may wait for a restart: ten seconds of 20 ms audio."""


def decide(state: State, command: commands.Command) -> Records:
    """The records that `command` leads to in `state`; empty when there is nothing to do.

    Raises:
        IllegalCommand: The phase does not allow it, or it contradicts an operation that is open.
        RepairNeeded: An operation's outcome is unknown and this command is not safe meanwhile.
        GateOverflow: The gate is full.
    """
    match command:
        case commands.Connected() | commands.Received() | commands.Done():
            return _settle_done(state, command)
        case commands.NotDone() | commands.Unknown():
            return _settle_undone(state, command)
        case _:
            reaction = COMMANDS[type(command)].get(state.phase)
    if reaction is None:
        raise IllegalCommand(
            f"{type(command).__name__.lower()} is not possible while the session is {state.phase}"
        )
    if reaction is Reaction.IGNORE:
        return ()
    if state.unknown and type(command) not in REPAIRABLE:
        op_ids = tuple(state.unknown)
        raise RepairNeeded(
            f"the outcome of {', '.join(op_ids)} is unknown; reconcile it first", op_ids=op_ids
        )
    return _DECIDERS[type(command)](state, command)


def succeeds(op_id: str, decided: Records) -> bool:
    """Whether `decided` says that the operation was done; it may have been given up meanwhile."""
    return any(type(record) in _DONE and _op_id(record) == op_id for record in decided)


def _op_id(record: Any) -> str:
    op_id: str = record.op_id
    return op_id


def next_op_id(state: State) -> str:
    """Unique within the run: a short name of the session, and a count of its operations."""
    return f"{_short_name(state.session_id)}.{state.operations_total + 1}"


@lru_cache(maxsize=1024)
def _short_name(session_id: str) -> str:
    return sha256(session_id.encode()).hexdigest()[:8]


def _opening(state: State, name: OperationName) -> str:
    if OPERATIONS[name].alone and state.open_named(name) is not None:
        raise IllegalCommand(f"another {name} of this session is still under way")
    return next_op_id(state)


def _connect(state: State, command: commands.Connect) -> Records:
    return (records.ConnectRequested(op_id=_opening(state, OperationName.CONNECT)),)


def _send(state: State, command: commands.Send) -> Records:
    # A newcomer never overtakes the frames that still wait.
    if state.phase in GATED or state.gated:
        if any(frame.frame_id == command.frame_id for frame in state.gated):
            raise IllegalCommand(f"frame {command.frame_id} waits for the connection already")
        if len(state.gated) >= GATED_FRAMES_MAX:
            raise GateOverflow(f"{GATED_FRAMES_MAX} frames wait for the connection; this one was not taken")
        return (
            records.BackpressureApplied(
                frame_id=command.frame_id,
                media=command.media,
                size_bytes=command.size_bytes,
                action=records.GateAction.GATE,
            ),
        )
    return (_send_requested(state, command.frame_id, command.media, command.size_bytes),)


def _send_requested(state: State, frame_id: str, media: Media, size_bytes: int) -> records.InputSendRequested:
    return records.InputSendRequested(
        op_id=_opening(state, OperationName.SEND), frame_id=frame_id, media=media, size_bytes=size_bytes
    )


def _release(state: State, command: commands.Release) -> Records:
    if not state.gated:
        return ()
    frame = state.gated[0]
    return (
        records.BackpressureReleased(frame_id=frame.frame_id),
        _send_requested(state, frame.frame_id, frame.media, frame.size_bytes),
    )


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


def _restart(state: State, command: commands.Restart) -> Records:
    op_id = _opening(state, OperationName.RESTART)
    return (records.RestartRequested(reason=command.reason), records.RestartStarted(op_id=op_id))


def _close(state: State, command: commands.Close) -> Records:
    op_id = _opening(state, OperationName.CLOSE)
    return (*_drop_gated(state, Reason.CANCELLED), records.CloseRequested(op_id=op_id, reason=command.reason))


def _drop_gated(state: State, reason: Reason) -> Records:
    return tuple(records.InputDropped(frame_id=frame.frame_id, reason=reason) for frame in state.gated)


def _lose(state: State, command: commands.LoseConnection) -> Records:
    return (records.ConnectionLost(reason=command.reason),)


def _fail(state: State, command: commands.Fail) -> Records:
    """End it here: every open operation gets its closer, every waiting frame its fate."""
    return (
        *_give_up(state.open_operations.values(), command.reason),
        *_drop_gated(state, command.reason),
        records.SessionFailed(reason=command.reason),
    )


def _give_up(operations: Iterable[OpenOperation], reason: Reason) -> Records:
    """Nobody will learn any more what became of these."""
    closers: list[Record] = []
    for operation in operations:
        if operation.name is OperationName.SEND:
            closers += _send_unknown(operation, reason)
        else:
            closers.append(_closer(OPERATIONS[operation.name].unknown, operation, reason))
    return tuple(closers)


def _reconcile(state: State, command: commands.Reconcile) -> Records:
    if command.op_id not in state.unknown:
        raise IllegalCommand(f"operation {command.op_id} is not waiting to be reconciled")
    return (records.Reconciled(op_id=command.op_id, decision=command.decision),)


def _settle_done(state: State, command: commands.Connected | commands.Received | commands.Done) -> Records:
    operation = state.open_operations.get(command.op_id)
    if operation is None:
        return ()  # closed meanwhile, by a deadline or by `Fail`
    op_id = operation.op_id
    decided: Records
    match operation.name, command:
        case OperationName.CONNECT, commands.Connected(connection_id=connection_id):
            decided = (records.Connected(op_id=op_id, connection_id=connection_id),)
        case OperationName.RESTART, commands.Connected(connection_id=connection_id):
            decided = (records.RestartCompleted(op_id=op_id, connection_id=connection_id),)
        case OperationName.RECEIVE, commands.Received():
            decided = _settle_receive(state, command)
        case OperationName.SEND, commands.Done():
            decided = _settle_send(state, operation)
        case OperationName.INTERRUPT, commands.Done():
            decided = (records.Interrupted(op_id=op_id, response_id=operation.response_id or ""),)
        case OperationName.CLOSE, commands.Done():
            decided = _settle_close(state, operation)
        case _:
            raise IllegalCommand(f"{type(command).__name__.lower()} is no outcome of {operation.name}")
    return decided


def _settle_send(state: State, operation: OpenOperation) -> Records:
    # It went to a connection that has been replaced since: nobody knows if it was heard.
    if operation.generation != state.generation:
        return _send_unknown(operation, Reason.SUPERSEDED)
    return (records.InputSent(op_id=operation.op_id, cursor=state.send_cursor + 1),)


def _settle_close(state: State, closing: OpenOperation) -> Records:
    """Hung up is hung up: doubt about having a connection is over. Doubt about a frame is not."""
    under_way = [operation for operation in state.open_operations.values() if operation is not closing]
    settled = tuple(
        records.Reconciled(
            op_id=operation.op_id,
            decision=records.Decision.DONE
            if operation.name is OperationName.CLOSE
            else records.Decision.ABANDONED,
        )
        for operation in (*state.unknown.values(), *under_way)
        if operation.name is not OperationName.SEND and OPERATIONS[operation.name].repair
    )
    assert closing.close_reason is not None
    return (
        *_give_up(under_way, Reason.SUPERSEDED),
        *settled,
        records.Closed(op_id=closing.op_id, reason=closing.close_reason),
    )


def _settle_receive(state: State, command: commands.Received) -> Records:
    if not command.events:
        closer: Record = records.OutputReceiveEmpty(op_id=command.op_id)
    else:
        closer = records.OutputReceived(
            op_id=command.op_id,
            cursor=state.receive_cursor + len(command.events),
            events=command.events,
            size_bytes=command.size_bytes,
            started=command.started,
            ended=command.ended,
        )
    late = tuple(records.OutputLate(response_id=response, count=count) for response, count in command.late)
    return (closer, *late)


def _settle_undone(state: State, command: commands.NotDone | commands.Unknown) -> Records:
    operation = state.open_operations.get(command.op_id)
    if operation is None:
        return ()
    if operation.name is OperationName.SEND and isinstance(command, commands.Unknown):
        return _send_unknown(operation, command.reason)
    rule = OPERATIONS[operation.name]
    closer = rule.unknown if isinstance(command, commands.Unknown) else rule.not_done
    return (_closer(closer, operation, command.reason),)


def _closer(make: Callable[..., Record], operation: OpenOperation, reason: Reason) -> Record:
    return make(op_id=operation.op_id, reason=reason)


def _send_unknown(operation: OpenOperation, reason: Reason) -> Records:
    """Live audio is worthless a moment later, so doubt about it is given up at once; text is not."""
    unknown = records.InputSendUnknown(op_id=operation.op_id, reason=reason)
    if operation.media is Media.AUDIO:
        return (unknown, records.Reconciled(op_id=operation.op_id, decision=records.Decision.ABANDONED))
    return (unknown,)


_DECIDERS: dict[type[commands.Command], Callable[[State, Any], Records]] = {
    commands.Connect: _connect,
    commands.Send: _send,
    commands.Receive: _receive,
    commands.Interrupt: _interrupt,
    commands.Restart: _restart,
    commands.Release: _release,
    commands.Close: _close,
    commands.LoseConnection: _lose,
    commands.Fail: _fail,
    commands.Reconcile: _reconcile,
}
