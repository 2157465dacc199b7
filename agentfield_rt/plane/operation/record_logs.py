"""Log lines from records: what an operator wants to follow. Records have no content, so lines have none."""

import logging

from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.observe import Observation

log = logging.getLogger("agentfield_rt.records")

_LEVELS: dict[type[Record], int] = {
    records.SessionStarted: logging.INFO,
    records.SessionEnded: logging.INFO,
    records.Connected: logging.INFO,
    records.RestartCompleted: logging.INFO,
    records.RunCompleted: logging.INFO,
    records.RunCancelled: logging.INFO,
    records.ExecutionFailed: logging.INFO,
    records.TurnFailed: logging.WARNING,
    records.UtteranceFailed: logging.WARNING,
    records.ConnectFailed: logging.WARNING,
    records.ConnectionLost: logging.WARNING,
    records.RestartFailed: logging.WARNING,
    records.SessionFailed: logging.WARNING,
    records.RunFailed: logging.WARNING,
    records.EmergencyClosed: logging.WARNING,
    records.RecordingFailed: logging.WARNING,
}

_TOLD = ("target", "provider", "transport", "reason", "op_id")
"""Fields of records that a line has."""


def log_record(seen: Observation) -> None:
    """An observer: writes a line for what matters, and at DEBUG for everything."""
    level = _LEVELS.get(type(seen.record), logging.DEBUG)
    if not log.isEnabledFor(level):
        return
    told = {name: str(value) for name in _TOLD if (value := getattr(seen.record, name, None)) is not None}
    about = {"run_id": seen.run_id, "session_id": seen.session_id, "turn_id": seen.turn_id}
    log.log(
        level,
        seen.record.kind.replace("_", " "),
        extra={"kind": seen.record.kind, **told, **{name: value for name, value in about.items() if value}},
    )
