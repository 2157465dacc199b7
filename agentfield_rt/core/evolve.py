"""`evolve(state, record) → state`: the fold. Total on valid journals, loud on others."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from agentfield_rt.core import records
from agentfield_rt.core.lifecycle import CLOSES, OPENS, OPERATIONS, TRANSITIONS, OperationName, Outcome
from agentfield_rt.core.records import Record
from agentfield_rt.core.state import RESPONSES_MAX, GatedFrame, OpenOperation, ResponseState, State
from agentfield_rt.errors import CloseReason, ReplayMismatch

Changes = dict[str, Any]


def evolve(state: State, record: Record) -> State:
    """The state after `record`.

    Raises:
        ReplayMismatch: The record cannot follow; the journal is corrupt or our table is wrong.
    """
    record_type = type(record)
    steps = TRANSITIONS.get(record_type)
    if steps is None:
        raise ReplayMismatch(f"{record.kind} is not a record of a realtime session")
    phase = steps.get(state.phase)
    if phase is None:
        raise ReplayMismatch(f"{record.kind} cannot follow in phase {state.phase}")
    changes: Changes = {} if phase is state.phase else {"phase": phase}
    if (opened := OPENS.get(record_type)) is not None:
        _open(state, record, opened, changes)
    elif (closing := CLOSES.get(record_type)) is not None:
        _close(state, record, closing, changes)
    effect = _EFFECTS.get(record_type)
    if effect is not None:
        effect(state, record, changes)
    return replace(state, **changes)


def replay(session_id: str, history: Iterable[Record]) -> State:
    """Fold a session's records, from its first."""
    state = State(session_id=session_id)
    for record in history:
        state = evolve(state, record)
    return state


def _open(state: State, record: Any, name: OperationName, changes: Changes) -> None:
    op_id: str = record.op_id
    if op_id in state.open_operations or op_id in state.unknown:
        raise ReplayMismatch(f"operation {op_id} is opened twice")
    generation = state.generation + (name is OperationName.RESTART)
    match record:
        case records.InputSendRequested():
            operation = OpenOperation(
                op_id, name, generation, media=record.media, frames_max=record.frames_max
            )
        case records.InterruptRequested():
            operation = OpenOperation(op_id, name, generation, response_id=record.response_id)
        case records.CloseRequested():
            operation = OpenOperation(op_id, name, generation, close_reason=record.reason)
        case _:
            operation = OpenOperation(op_id, name, generation)
    changes["open_operations"] = {**state.open_operations, op_id: operation}
    changes["operations_total"] = state.operations_total + 1
    changes["generation"] = generation


def _close(state: State, record: Any, closing: tuple[OperationName, Outcome], changes: Changes) -> None:
    name, outcome = closing
    operation = state.open_operations.get(record.op_id)
    if operation is None or operation.name is not name:
        raise ReplayMismatch(f"{record.kind} closes {record.op_id}, which is not an open {name}")
    changes["open_operations"] = _without(state.open_operations, operation.op_id)
    changes["last_operation"] = name
    if outcome is Outcome.UNKNOWN and OPERATIONS[name].repair:
        changes["unknown"] = {**state.unknown, operation.op_id: operation}


def _without(mapping: Mapping[str, OpenOperation], key: str) -> dict[str, OpenOperation]:
    return {k: v for k, v in mapping.items() if k != key}


def _connecting(state: State, record: records.ConnectRequested, changes: Changes) -> None:
    changes["limits"] = record.limits


def _connected(state: State, record: records.Connected, changes: Changes) -> None:
    changes["connection_ids"] = _one_more(state.connection_ids, record.connection_id)


def _one_more(connection_ids: tuple[str, ...], connection_id: str) -> tuple[str, ...]:
    if connection_id in connection_ids:
        raise ReplayMismatch("a connection came twice")
    return (*connection_ids, connection_id)


def _restarting(state: State, record: records.RestartStarted, changes: Changes) -> None:
    changes["restarts_begun"] = state.restarts_begun + 1


def _restarted(state: State, record: records.RestartCompleted, changes: Changes) -> None:
    changes["connection_ids"] = _one_more(state.connection_ids, record.connection_id)
    changes["restart_count"] = state.restart_count + 1
    # What the old connection was saying, nobody hears any more.
    changes["responses"] = {
        response_id: ResponseState(generating=False, interrupted=True) for response_id in state.responses
    }


def _restored(state: State, record: records.ConversationRestored, changes: Changes) -> None:
    if record.connection_id != state.connection_id:
        raise ReplayMismatch("a conversation is restored on a connection that is not the latest")


def _sent(state: State, record: records.InputSent, changes: Changes) -> None:
    frames = 1 if record.window is None else record.window.frames
    if frames > state.open_operations[record.op_id].frames_max:
        raise ReplayMismatch(f"{record.op_id} sent {frames} frames, more than it announced")
    if record.cursor != state.send_cursor + frames:
        raise ReplayMismatch(f"send cursor {record.cursor} after {state.send_cursor}")
    changes["send_cursor"] = record.cursor


def _sent_in_part(
    state: State, record: records.InputSendFailed | records.InputSendUnknown, changes: Changes
) -> None:
    if record.window is None:
        return
    if record.window.frames >= state.open_operations[record.op_id].frames_max:
        raise ReplayMismatch(f"{record.op_id} sent all it announced and did not end well")
    changes["send_cursor"] = state.send_cursor + record.window.frames


def _received(state: State, record: records.OutputReceived, changes: Changes) -> None:
    if record.cursor != state.receive_cursor + sum(record.events.values()):
        raise ReplayMismatch(f"receive cursor {record.cursor} after {state.receive_cursor}")
    changes["receive_cursor"] = record.cursor
    if not (record.started or record.ended):
        return
    responses = dict(state.responses)
    for response_id in record.started:
        responses.setdefault(response_id, ResponseState())  # told twice, it stays interrupted
    for response_id in record.ended:
        if (response := responses.get(response_id)) is not None:
            responses[response_id] = replace(response, generating=False)
    while len(responses) > RESPONSES_MAX:
        del responses[next(iter(responses))]
    changes["responses"] = responses


def _interrupting(state: State, record: records.InterruptRequested, changes: Changes) -> None:
    """Nothing more of it is delivered from the intent on, so that no answer comes in between."""
    response = state.responses.get(record.response_id)
    if response is None:
        raise ReplayMismatch(f"interrupt of unknown response {record.response_id}")
    changes["responses"] = {**state.responses, record.response_id: replace(response, interrupted=True)}


def _not_interrupted(state: State, record: records.InterruptFailed, changes: Changes) -> None:
    operation = state.open_operations[record.op_id]
    response_id = operation.response_id
    if response_id is None or operation.generation != state.generation:
        return  # a restart has silenced it meanwhile
    if (response := state.responses.get(response_id)) is not None:
        changes["responses"] = {**state.responses, response_id: replace(response, interrupted=False)}


def _gate(state: State, record: records.BackpressureApplied, changes: Changes) -> None:
    gated = (*state.gated, GatedFrame(record.frame_id, record.media, record.size_bytes))
    if len(gated) > state.limits.high_water:
        raise ReplayMismatch(f"frame {record.frame_id} waits behind a gate that is full")
    changes["gated"] = gated
    changes["gated_total"] = state.gated_total + 1
    if len(gated) == state.limits.high_water:
        changes["gate_full"] = True


def _leave_gate(state: State, index: int, changes: Changes) -> None:
    changes["gated"] = gated = (*state.gated[:index], *state.gated[index + 1 :])
    if state.gate_full and len(gated) <= state.limits.low_water:
        changes["gate_full"] = False


def _release(state: State, record: records.BackpressureReleased, changes: Changes) -> None:
    if not state.gated or state.gated[0].frame_id != record.frame_id:
        raise ReplayMismatch(f"frame {record.frame_id} leaves the gate out of turn")
    _leave_gate(state, 0, changes)
    changes["released_total"] = state.released_total + 1


def _drop(state: State, record: records.InputDropped, changes: Changes) -> None:
    for index, frame in enumerate(state.gated):
        if frame.frame_id == record.frame_id:
            _leave_gate(state, index, changes)
            changes["dropped_total"] = state.dropped_total + 1
            return
    raise ReplayMismatch(f"frame {record.frame_id} is dropped and did not wait")


def _closed(state: State, record: records.Closed | records.EmergencyClosed, changes: Changes) -> None:
    changes["close_reason"] = record.reason


def _detached(state: State, record: records.Detached, changes: Changes) -> None:
    changes["close_reason"] = CloseReason.DETACH


def _reconciled(state: State, record: records.Reconciled, changes: Changes) -> None:
    if record.op_id not in state.unknown:
        raise ReplayMismatch(f"operation {record.op_id} is not unknown")
    changes["unknown"] = _without(state.unknown, record.op_id)


_EFFECTS: dict[type[Record], Callable[[State, Any, Changes], None]] = {
    records.ConnectRequested: _connecting,
    records.Connected: _connected,
    records.RestartStarted: _restarting,
    records.RestartCompleted: _restarted,
    records.ConversationRestored: _restored,
    records.InputSent: _sent,
    records.InputSendFailed: _sent_in_part,
    records.InputSendUnknown: _sent_in_part,
    records.OutputReceived: _received,
    records.InterruptRequested: _interrupting,
    records.InterruptFailed: _not_interrupted,
    records.BackpressureApplied: _gate,
    records.BackpressureReleased: _release,
    records.InputDropped: _drop,
    records.Closed: _closed,
    records.EmergencyClosed: _closed,
    records.Detached: _detached,
    records.Reconciled: _reconciled,
}
