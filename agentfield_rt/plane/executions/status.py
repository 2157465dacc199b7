"""The words for where an execution stands, AgentField's own and those that agents use for them."""

from enum import StrEnum

from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import Reason


class ExecutionStatus(StrEnum):
    """AgentField's words; the last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"


FINAL_STATUSES = frozenset(
    {
        ExecutionStatus.SUCCEEDED,
        ExecutionStatus.FAILED,
        ExecutionStatus.CANCELLED,
        ExecutionStatus.TIMEOUT,
    }
)

_ALIASES = {
    "pending": ExecutionStatus.QUEUED,
    "waiting": ExecutionStatus.RUNNING,
    "in_progress": ExecutionStatus.RUNNING,
    "processing": ExecutionStatus.RUNNING,
    "completed": ExecutionStatus.SUCCEEDED,
    "complete": ExecutionStatus.SUCCEEDED,
    "success": ExecutionStatus.SUCCEEDED,
    "successful": ExecutionStatus.SUCCEEDED,
    "done": ExecutionStatus.SUCCEEDED,
    "ok": ExecutionStatus.SUCCEEDED,
    "error": ExecutionStatus.FAILED,
    "failure": ExecutionStatus.FAILED,
    "canceled": ExecutionStatus.CANCELLED,
    "cancel": ExecutionStatus.CANCELLED,
    "timed_out": ExecutionStatus.TIMEOUT,
}

STATUS_WORDS = [*map(str, ExecutionStatus), *_ALIASES]
"""Every word that is understood."""


def status_named(word: str) -> ExecutionStatus | None:
    """The status that an agent means by `word`; None for a word nobody knows."""
    word = word.strip().lower()
    try:
        return ExecutionStatus(word)
    except ValueError:
        return _ALIASES.get(word)


def final_status(record: Record) -> ExecutionStatus | None:
    """What a record says an execution ended as; None for one that ends none."""
    match record:
        case records.ExecutionSucceeded():
            return ExecutionStatus.SUCCEEDED
        case records.ExecutionFailed(reason=Reason.TIMEOUT):
            return ExecutionStatus.TIMEOUT
        case records.ExecutionFailed():
            return ExecutionStatus.FAILED
        case records.ExecutionCancelled():
            return ExecutionStatus.CANCELLED
        case _:
            return None
