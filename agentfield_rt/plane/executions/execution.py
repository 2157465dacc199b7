"""One execution as the plane knows it, from the moment it is accepted until it is forgotten."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from agentfield_journal import JournalUnavailable
from agentfield_rt.core import records
from agentfield_rt.errors import ExecutionFailed, Reason
from agentfield_rt.plane.executions.dispatch import CapabilityKind, Dispatch
from agentfield_rt.plane.executions.pause import Pauses
from agentfield_rt.plane.executions.status import FINAL_STATUSES, ExecutionStatus
from agentfield_rt.plane.notation import workflow_id_of
from agentfield_rt.run import Context, Run


@dataclass(slots=True, eq=False, kw_only=True)
class Execution:
    """One run of a reasoner or skill.

    Attributes:
        depth: How many executions wait for this one.
        remote: Its node is another process, so it goes on when this one ends.
        time_max_s: How long after `created_at` it is given up; 0: never.
        arguments: None while they are in the content store only, under `input_ref`.
        attempts: How often it was sent to its node.
        accepted: The node took it and will report.
        in_doubt: The last attempt may have reached the node, or not.
        doubts: How often that was so, as far as this process knows.
        result_json: What came of it; None while it is in the content store only, under `result_ref`.
        error: What was said of its failure: content, as the result.
        error_details_json: What was said of it for programs, under `error_details_ref`.
        error_status: The HTTP status that its agent wants for whoever waits for its failure; it is no part of
            the outcome, so only the process that was told has it.
        durable: Makes its outcome durable; None where the outcome could not be recorded.
        run: What its records are written to, while it is open.
        pauses: What it waits, or has waited for; None: it never did.
    """

    execution_id: str
    run_id: str
    target: str
    kind: CapabilityKind
    created_at: float
    input_ref: str
    depth: int = 0
    remote: bool = False
    time_max_s: float = 0.0
    session_id: str | None = None
    turn_id: str | None = None
    actor_id: str | None = None
    parent_execution_id: str | None = None
    webhook_ref: str | None = None
    arguments: Mapping[str, Any] | None = None
    attempts: int = 0
    accepted: bool = False
    in_doubt: bool = False
    doubts: int = 0
    status: ExecutionStatus = ExecutionStatus.QUEUED
    started_at: float | None = None
    completed_at: float | None = None
    result_json: bytes | None = None
    result_ref: str | None = None
    reason: Reason | None = None
    error: str | None = None
    error_ref: str | None = None
    error_details_json: bytes | None = None
    error_details_ref: str | None = None
    error_status: int | None = None
    durable: Callable[[], Awaitable[None]] | None = None
    run: Run | None = None
    pauses: Pauses | None = None
    _finished: asyncio.Event | None = None

    @property
    def workflow_id(self) -> str:
        """The run as its callers know it: one that has ended goes on in others (`further_run_id`)."""
        return workflow_id_of(self.run_id)

    @property
    def node_id(self) -> str:
        return self.target.partition(".")[0]

    @property
    def name(self) -> str:
        """The reasoner's or skill's, without its node."""
        return self.target.partition(".")[2]

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATUSES

    def is_overdue(self, now: float) -> bool:
        """Whether its time is over, in which waiting for somebody does not count."""
        waited_s = 0.0 if self.pauses is None else self.pauses.waited_s(now)
        return 0 < self.time_max_s < now - self.created_at - waited_s

    @property
    def is_waiting(self) -> bool:
        """Whether it waits, for somebody's answer or for one that it called and that does."""
        return not self.is_final and self.pauses is not None and self.pauses.since is not None

    @property
    def standing(self) -> str:
        """Its status as others are told it: one that runs may wait."""
        return "waiting" if self.is_waiting else self.status.value

    def pause(self, record: records.ExecutionPaused | records.ExecutionResumed, *, at: float) -> None:
        """Note that it waits, or goes on."""
        self.pauses = self.pauses or Pauses()
        self.pauses.take(record, at)

    @property
    def result(self) -> Any:
        """What came of it, as Python has it."""
        return None if self.result_json is None else msgspec.json.decode(self.result_json)

    def require_result(self) -> Any:
        """What came of one that is over.

        Raises:
            ExecutionFailed: it did not succeed.
        """
        if self.status is not ExecutionStatus.SUCCEEDED:
            raise ExecutionFailed(
                f"{self.target} did not succeed: {self.reason}",
                execution_id=self.execution_id,
                reason=self.reason or Reason.INTERNAL,
                error=self.error,
            )
        return self.result

    @property
    def words_bytes(self) -> int:
        """How much memory what came of it takes."""
        return sum(map(len, (self.result_json or b"", self.error or "", self.error_details_json or b"")))

    @property
    def finished(self) -> asyncio.Event:
        """Set when the outcome is known and appended; `told` waits until it is durable as well."""
        if self._finished is None:  # made for those who wait: one takes as much room as the rest of this
            self._finished = asyncio.Event()
            if self.is_final:
                self._finished.set()
        return self._finished

    @property
    def duration_ms(self) -> int:
        """How long it ran, once it is over; of one that never began, how long it was known."""
        began = self.started_at or self.created_at
        return max(0, int(((self.completed_at or began) - began) * 1000))

    @property
    def context(self) -> Context:
        """Whom its records are about."""
        return Context(self.node_id, self.session_id, self.turn_id)

    def end(self, status: ExecutionStatus, reason: Reason | None, *, at: float) -> None:
        """Note how it ended; what came of it is set by whoever kept it."""
        self.status, self.reason, self.completed_at = status, reason, at
        self.arguments, self.in_doubt = None, False

    def announce(self) -> None:
        """Wake those who wait for its end."""
        if self._finished is not None:
            self._finished.set()
            self._finished = None  # ten thousand that have ended are kept

    def attempt(self) -> Dispatch:
        """What its node is given."""
        return Dispatch(
            execution_id=self.execution_id,
            run_id=self.workflow_id,
            name=self.name,
            kind=self.kind,
            arguments=self.arguments or {},
            session_id=self.session_id,
            turn_id=self.turn_id,
            actor_id=self.actor_id,
            parent_execution_id=self.parent_execution_id,
        )

    async def told(self) -> None:
        """Return once the status may leave this process: a final one only when its record is durable.

        Raises:
            JournalUnavailable: it could not be recorded.
            JournalError: it could not be made durable.
        """
        if not self.is_final:
            return
        if self.durable is None:
            raise JournalUnavailable(f"the outcome of {self.execution_id} is not recorded")
        if self.durable is not already_durable:
            await self.durable()
            self.durable = already_durable


async def already_durable() -> None:
    """The `durable` of an outcome that was read from the journal, or was waited for before."""
