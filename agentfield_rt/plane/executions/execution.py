"""One execution as the plane knows it, and the words for where it stands."""

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agentfield_journal import Cursor, JournalUnavailable
from agentfield_rt.errors import Reason
from agentfield_rt.run import Run
from agentfield_rt.voice.link import ExecutionRequest


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


@dataclass(slots=True, eq=False)
class Execution:
    """One run of a reasoner.

    Attributes:
        depth: How many executions wait for this one.
        outcome: Where its last record stands: the run and the place in it.
        finished: Set when the outcome is known and appended; `told` waits until it is durable as well.
    """

    execution_id: str
    run_id: str
    request: ExecutionRequest
    depth: int
    created_at: float
    status: ExecutionStatus = ExecutionStatus.QUEUED
    result: Any = None
    reason: Reason | None = None
    error: str | None = None
    started_at: float | None = None
    completed_at: float | None = None
    outcome: tuple[Run, Cursor] | None = None
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    async def told(self) -> None:
        """Return once the status may leave this process: a final one only when its record is durable.

        Raises:
            JournalUnavailable: it could not be recorded.
            JournalError: it could not be made durable.
        """
        if self.status not in FINAL_STATUSES:
            return
        await self.finished.wait()
        if self.outcome is None:
            raise JournalUnavailable(f"the outcome of {self.execution_id} is not recorded")
        run, cursor = self.outcome
        await run.durable(cursor)
