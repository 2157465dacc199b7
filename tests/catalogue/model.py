"""What the catalogue must hold, told a second time: a fold in plain Python, without SQL and cursors."""

from collections.abc import Iterable
from typing import Any

from agentfield_journal import Envelope
from agentfield_rt.core import records
from agentfield_rt.run import decode

Rows = dict[str, dict[Any, dict[str, Any]]]

_ENDS = {
    records.RunCompleted.kind: "completed",
    records.RunFailed.kind: "failed",
    records.RunCancelled.kind: "cancelled",
}


def expected(runs: Iterable[list[Envelope]]) -> Rows:
    """Rows by table and key, with what a bug would most likely get wrong."""
    rows: Rows = {"runs": {}, "executions": {}, "sessions": {}, "turns": {}, "notes": {}}
    for envelopes in runs:
        for envelope in envelopes:
            _take(rows, envelope)
    return rows


def _take(rows: Rows, at: Envelope) -> None:
    run = rows["runs"].setdefault(at.run_id, {"status": "open", "started_at_ns": at.at_ns})
    run["seq"], run["changed_at_ns"] = at.seq, at.at_ns
    record = decode(at)
    if at.kind in _ENDS and run["status"] == "open":
        run["status"] = _ENDS[at.kind]
    match record:
        case records.SessionStarted(target=target):
            key = (at.session_id, at.run_id)
            rows["sessions"].setdefault(key, {"target": target, "seq": at.seq, "close_reason": None})
        case records.SessionEnded(reason=reason):
            session = rows["sessions"].get((at.session_id, at.run_id))
            if session is not None and session["close_reason"] is None:
                session["close_reason"] = reason.value
        case records.TurnStarted(op_id=turn_id):
            rows["turns"].setdefault((at.run_id, turn_id), {"status": "running", "seq": at.seq})
        case records.TurnCompleted(op_id=turn_id) | records.TurnFailed(op_id=turn_id):
            turn = rows["turns"].get((at.run_id, turn_id))
            if turn is not None and turn["status"] == "running":
                turn["status"] = "succeeded" if isinstance(record, records.TurnCompleted) else "failed"
        case records.ExecutionNoted(execution_id=execution_id, note_ref=ref):
            rows["notes"][at.run_id, at.seq] = {"execution_id": execution_id, "note_ref": ref}
        case _:
            _take_execution(rows["executions"], at, record)


def _take_execution(rows: dict[Any, dict[str, Any]], at: Envelope, record: Any) -> None:
    key = (getattr(record, "execution_id", None) or at.op_id, at.run_id)
    row = rows.get(key)
    over = row is not None and row["ended"]
    match record:
        case records.ExecutionQueued() if row is None:
            status = "queued" if record.remote else "running"
            rows[key] = _execution(at, record.target, status, record.input_ref)
        case records.ExecutionDispatchRequested() if row is not None and not over:
            row["status"] = "running"
        case records.ExecutionNotDispatched() if row is not None and not over:
            row["status"] = "queued"
        case records.ExecutionPaused() if row is not None and not over:
            row["status"] = "waiting"
        case records.ExecutionResumed() if row is not None and not over:
            row["status"] = "running"
        case records.ExecutionSucceeded() if row is not None and not over:
            row.update(status="succeeded", result_ref=record.result_ref, ended=True)
        case records.ExecutionFailed(reason=reason) if row is not None and not over:
            status = "timeout" if reason == "timeout" else "failed"
            row.update(status=status, result_ref=None, ended=True)
        case records.ExecutionCancelled() if row is not None and not over:
            row.update(status="cancelled", result_ref=None, ended=True)
        case records.SubcallReported():
            _take_report(rows, key, at, record)
        case _:
            pass


def _take_report(rows: dict[Any, dict[str, Any]], key: Any, at: Envelope, record: Any) -> None:
    row = rows.get(key)
    if row is None:
        row = rows[key] = _execution(at, record.target, record.status.value, record.input_ref)
        row.update(is_reported=True, ended=record.status != "running")
        row["result_ref"] = record.result_ref
    elif row["is_reported"]:
        row["input_ref"] = row["input_ref"] or record.input_ref
        if not row["ended"]:
            row.update(status=record.status.value, result_ref=record.result_ref)
            row["ended"] = record.status != "running"


def _execution(at: Envelope, target: str, status: str, input_ref: str | None) -> dict[str, Any]:
    return {
        "target": target,
        "status": status,
        "seq": at.seq,
        "input_ref": input_ref,
        "result_ref": None,
        "is_reported": False,
        "ended": False,
    }
