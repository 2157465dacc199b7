"""Executions that are no longer in memory: from the catalogue by their id, from the journal by their run."""

from typing import Protocol

from agentfield_journal.ports import Journal
from agentfield_rt.errors import Reason
from agentfield_rt.plane.catalogue.rows import ExecutionRow
from agentfield_rt.plane.executions.dispatch import CapabilityKind
from agentfield_rt.plane.executions.execution import Execution, already_durable
from agentfield_rt.plane.executions.fold import fold_executions
from agentfield_rt.plane.executions.status import ExecutionStatus, status_named
from agentfield_rt.plane.notation import further_run_id


class ExecutionRows(Protocol):
    """Finds executions by id; `Catalogue` does."""

    async def execution(self, execution_id: str) -> ExecutionRow | None: ...


class Past:
    """Looks up what ended, or was accepted by an earlier process.

    Args:
        rows: Without them only runs can be read.
    """

    def __init__(self, journal: Journal, rows: ExecutionRows | None) -> None:
        self._journal = journal
        self._rows = rows

    async def find(self, execution_id: str) -> Execution | None:
        """An execution by its id, without the words of its outcome.

        Raises:
            JournalError: the catalogue does not answer.
        """
        row = None if self._rows is None else await self._rows.execution(execution_id)
        return None if row is None else _from_row(row)

    async def of_run(self, run_id: str) -> dict[str, Execution]:
        """The executions of a run by id, as its durable records leave them.

        Raises:
            JournalError, ReplayMismatch: it cannot be read.
        """
        return fold_executions(await self._journal.read(run_id))

    async def in_workflow(self, run_id: str, execution_id: str) -> Execution | None:
        """An execution that was accepted for a run: in that run, or in the one it made as that took nothing.

        Raises:
            JournalError, ReplayMismatch: it cannot be read.
        """
        found = (await self.of_run(run_id)).get(execution_id)
        return found or (await self.of_run(further_run_id(run_id, execution_id))).get(execution_id)


def _from_row(row: ExecutionRow) -> Execution:
    found = Execution(
        execution_id=row.execution_id,
        run_id=row.run_id,
        target=row.target,
        kind=CapabilityKind(row.capability),
        created_at=row.queued_at_ns / 1e9,
        input_ref=row.input_ref or "",
        depth=row.depth,
        remote=row.is_remote,
        time_max_s=row.time_max_ms / 1000,
        session_id=row.session_id,
        turn_id=row.turn_id,
        actor_id=row.actor_id,
        parent_execution_id=row.parent_execution_id,
        webhook_ref=row.webhook_ref,
        attempts=row.attempts,
        status=status_named(row.status) or ExecutionStatus.QUEUED,
        started_at=None if row.started_at_ns is None else row.started_at_ns / 1e9,
        completed_at=None if row.ended_at_ns is None else row.ended_at_ns / 1e9,
        result_ref=row.result_ref,
        reason=None if row.reason is None else Reason(row.reason),
        error_ref=row.error_ref,
        error_details_ref=row.error_details_ref,
        durable=already_durable,
    )
    if found.status is ExecutionStatus.CANCELLED:
        found.reason = Reason.CANCELLED
    elif found.status is ExecutionStatus.FAILED and found.reason is None:
        found.reason = Reason.HANDLER_ERROR  # a call within its agent, of which only that has told
    return found
