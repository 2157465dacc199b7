"""What an adapter call came to, as records: the closers of operations. Part of `decide`."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import sha256
from typing import Any

from agentfield_rt.core import commands, records
from agentfield_rt.core.lifecycle import CLOSES, COMMANDS, LOST_AS, OPERATIONS, OperationName, Outcome
from agentfield_rt.core.records import Record, WindowTally
from agentfield_rt.core.state import OpenOperation, State
from agentfield_rt.errors import CloseReason, IllegalCommand, Reason, RepairNeeded
from agentfield_rt.frames import Media

Records = tuple[Record, ...]

_DONE = frozenset(record_type for record_type, (_, outcome) in CLOSES.items() if outcome is Outcome.DONE)


def next_op_id(state: State) -> str:
    """Unique within the run: a short name of the session, and a count of its operations."""
    return f"{_short_name(state.session_id)}.{state.operations_total + 1}"


@lru_cache(maxsize=1024)
def _short_name(session_id: str) -> str:
    return sha256(session_id.encode()).hexdigest()[:8]


def succeeds(op_id: str, decided: Records) -> bool:
    """Whether `decided` says that the operation was done; it may have been given up meanwhile."""
    for record in decided:
        if type(record) in _DONE and _op_id(record) == op_id:
            return True
    return False


def _op_id(record: Any) -> str:
    op_id: str = record.op_id
    return op_id


def repair_needed(state: State) -> RepairNeeded:
    op_ids = tuple(state.unknown)
    return RepairNeeded(f"the outcome of {', '.join(op_ids)} is unknown; reconcile it first", op_ids=op_ids)


Success = commands.Connected | commands.Flowed | commands.Received | commands.Done


def settle_done(state: State, command: Success) -> Records:
    """What a call that came back well is recorded as; not always as done: its connection may be gone."""
    operation = state.open_operations.get(command.op_id)
    if operation is None:
        return ()  # closed meanwhile, by a deadline or by `Fail`
    op_id = operation.op_id
    decided: Records
    match operation.name, command:
        case OperationName.SEND, commands.Done() if operation.frames_max == 1:  # most are
            decided = _settle_send(state, operation)
        case OperationName.CONNECT, commands.Connected(connection_id=connection_id):
            decided = (records.Connected(op_id=op_id, connection_id=connection_id),)
        case OperationName.RESTART, commands.Connected():
            decided = _settle_restart(command)
        case OperationName.RECEIVE, commands.Received():
            decided = _settle_receive(state, command)
        case OperationName.SEND, commands.Flowed() if operation.media is Media.AUDIO:
            decided = _settle_window(state, operation, command)
        case OperationName.INTERRUPT, commands.Done():
            decided = (records.Interrupted(op_id=op_id, response_id=operation.response_id or ""),)
        case OperationName.REFER, commands.Done():
            decided = (records.Referred(op_id=op_id),)
        case OperationName.CLOSE, commands.Done():
            decided = _settle_close(state, operation)
        case _:
            raise IllegalCommand(f"{type(command).__name__.lower()} is no outcome of {operation.name}")
    return decided


def _settle_restart(command: commands.Connected) -> Records:
    completed = records.RestartCompleted(op_id=command.op_id, connection_id=command.connection_id)
    if (told := command.restored) is None:
        return (completed,)
    restored = records.ConversationRestored(
        connection_id=command.connection_id,
        attempt=told.attempt,
        restored=told.restored,
        gap_ms=told.gap_ms,
        left_out=told.left_out,
        answer_owed=told.answer_owed,
    )
    return (completed, restored)


def _settle_window(state: State, operation: OpenOperation, command: commands.Flowed) -> Records:
    if operation.generation != state.generation:
        return _send_unknown(operation, Reason.SUPERSEDED)
    sent = records.InputSent(
        op_id=command.op_id, cursor=state.send_cursor + command.window.frames, window=command.window
    )
    if not command.renew:
        return (sent,)
    if state.phase not in COMMANDS[commands.OpenWindow]:
        raise IllegalCommand(f"no audio flows while the session is {state.phase}")
    if state.unknown:
        raise repair_needed(state)
    opener = records.InputSendRequested(op_id=next_op_id(state), media=Media.AUDIO, frames_max=command.renew)
    return (sent, opener)


def _settle_send(state: State, operation: OpenOperation) -> Records:
    # It went to a connection that has been replaced since: nobody knows if it was heard.
    if operation.generation != state.generation:
        return _send_unknown(operation, Reason.SUPERSEDED)
    return (records.InputSent(op_id=operation.op_id, cursor=state.send_cursor + 1),)


def _settle_close(state: State, closing: OpenOperation) -> Records:
    """Hung up is hung up: doubt about having a connection is over. Doubt about a frame is not."""
    under_way = [operation for operation in state.open_operations.values() if operation is not closing]
    assert closing.close_reason is not None
    end: Record = (
        records.Detached(op_id=closing.op_id)
        if closing.close_reason is CloseReason.DETACH
        else records.Closed(op_id=closing.op_id, reason=closing.close_reason)
    )
    return (*give_up(under_way, Reason.SUPERSEDED), *connection_doubts(state, under_way), end)


def connection_doubts(state: State, under_way: Iterable[OpenOperation]) -> Records:
    """Whatever became of a connect, a restart or a close: there is no connection now."""
    return tuple(
        records.Reconciled(
            op_id=operation.op_id,
            decision=records.Decision.DONE
            if operation.name is OperationName.CLOSE
            else records.Decision.ABANDONED,
        )
        for operation in (*state.unknown.values(), *under_way)
        if operation.name is not OperationName.SEND and OPERATIONS[operation.name].repair
    )


def _settle_receive(state: State, command: commands.Received) -> Records:
    if not command.events:
        closer: Record = records.OutputReceiveEmpty(op_id=command.op_id)
    else:
        closer = records.OutputReceived(
            op_id=command.op_id,
            cursor=state.receive_cursor + sum(command.events.values()),
            events=command.events,
            audio=command.audio,
            started=command.started,
            ended=command.ended,
        )
    late = tuple(
        records.OutputLate(response_id=response, count=count) for response, count in command.late.items()
    )
    if not command.renew:
        return (closer, *late)
    if state.phase not in COMMANDS[commands.Receive]:
        raise IllegalCommand(f"nothing is received while the session is {state.phase}")
    renewed = records.OutputReceiveRequested(op_id=next_op_id(state), demand=command.renew)
    return (closer, *late, renewed)


def settle_undone(state: State, command: commands.NotDone | commands.Unknown) -> Records:
    """What a call that did not come back well is recorded as; nothing where it was closed meanwhile."""
    operation = state.open_operations.get(command.op_id)
    if operation is None:
        return ()
    if operation.name is OperationName.SEND:
        return _settle_unsent(operation, command)
    rule = OPERATIONS[operation.name]
    closer = rule.unknown if isinstance(command, commands.Unknown) else rule.not_done
    return (_closer(closer, operation.op_id, command.reason),)


def _settle_unsent(operation: OpenOperation, command: commands.NotDone | commands.Unknown) -> Records:
    if isinstance(command, commands.Unknown):
        return _send_unknown(operation, command.reason, command.window)
    return (records.InputSendFailed(op_id=operation.op_id, reason=command.reason, window=command.window),)


def _closer(make: Callable[..., Record], op_id: str, reason: Reason) -> Record:
    return make(op_id=op_id, reason=reason)


def _send_unknown(operation: OpenOperation, reason: Reason, window: WindowTally | None = None) -> Records:
    """Live audio is worthless a moment later, so doubt about it is given up at once; text is not."""
    unknown = records.InputSendUnknown(op_id=operation.op_id, reason=reason, window=window)
    if operation.media is Media.AUDIO:
        return (unknown, records.Reconciled(op_id=operation.op_id, decision=records.Decision.ABANDONED))
    return (unknown,)


def give_up(operations: Iterable[OpenOperation], reason: Reason) -> Records:
    """Nobody will learn any more what became of these."""
    closers: list[Record] = []
    for operation in operations:
        if operation.name is OperationName.SEND:
            closers += _send_unknown(operation, reason)
        else:
            closers.append(_closer(OPERATIONS[operation.name].unknown, operation.op_id, reason))
    return tuple(closers)


def lost(opener: type[Record], op_id: str) -> Record:
    """Closes what a process that died left open above the provider boundary. Whoever recovers says it so."""
    return _closer(LOST_AS[opener], op_id, Reason.PROCESS_LOST)


def drop_gated(state: State, reason: Reason) -> Records:
    """The fate of frames that will not leave the gate."""
    return tuple(records.InputDropped(frame_id=frame.frame_id, reason=reason) for frame in state.gated)
