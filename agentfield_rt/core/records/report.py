"""What an agent tells of its work besides outcomes. None of it opens or closes anything; it may come late."""

from enum import StrEnum
from typing import ClassVar

from agentfield_rt.core.records.record import Record


class ReportedStatus(StrEnum):
    """Where a sub-call stands, by its agent's word; the last three are final."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class SubcallReported(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A call within the agent's own process: we neither queued nor dispatched it, so this is all we know.

    Reports of one call come in any order; a final status never moves.
    """

    kind: ClassVar[str] = "subcall_reported"
    execution_id: str
    target: str
    status: ReportedStatus
    parent_execution_id: str | None = None
    input_ref: str | None = None
    result_ref: str | None = None
    error_ref: str | None = None
    duration_ms: int | None = None


class ExecutionNoted(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The agent noted something about an execution, its message and tags behind `note_ref`."""

    kind: ClassVar[str] = "execution_noted"
    execution_id: str
    note_ref: str


class ExecutionUsageReported(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What an execution cost, as its agent counts it (tokens by model, money), behind `usage_ref`."""

    kind: ClassVar[str] = "execution_usage_reported"
    execution_id: str
    usage_ref: str
