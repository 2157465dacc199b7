"""The plane's executions as agents at the end of a channel use them (`Engine`)."""

import logging
from typing import Any

from agentfield_journal import JournalError
from agentfield_rt.channel.to_plane import Note
from agentfield_rt.plane.errors import NotAllowed, NotFound, PlaneError
from agentfield_rt.plane.executions.dispatch import Outcome
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.executions import Executions
from agentfield_rt.plane.executions.reports import Reports
from agentfield_rt.plane.executions.submission import Extras
from agentfield_rt.voice.link import ExecutionRequest

log = logging.getLogger(__name__)


class ExecutionsEngine:
    """Submits, follows, cancels and reports."""

    def __init__(self, executions: Executions, reports: Reports) -> None:
        self._executions = executions
        self._reports = reports

    async def submit(self, request: ExecutionRequest, *, key: str, actor_id: str | None) -> Execution:
        """See `Engine.submit`."""
        extras = Extras(actor_id=actor_id, idempotency_key=key)
        return await self._executions.submit(request, extras=extras)

    async def find(self, execution_id: str) -> Execution:
        """See `Engine.find`."""
        return await self._executions.get(execution_id)

    async def result(self, execution: Execution) -> Any:
        """See `Engine.result`."""
        await execution.finished.wait()
        await execution.told()
        return execution.require_result()

    async def cancel(self, execution_id: str) -> None:
        """See `Engine.cancel`."""
        try:
            await self._executions.cancel(execution_id)
        except (PlaneError, JournalError) as error:
            log.info("%s is not cancelled: %s", execution_id, type(error).__name__)

    async def report(self, execution_id: str, outcome: Outcome, *, node_id: str) -> None:
        """See `Engine.report`."""
        execution = await self._executions.get(execution_id)
        if execution.node_id != node_id:
            raise NotAllowed(f"execution {execution_id} is not one of node '{node_id}'")
        await self._executions.report(execution_id, outcome)

    def began(self, execution_id: str, *, node_id: str) -> None:
        """See `Engine.began`."""
        execution = self._executions.in_memory(execution_id)
        if execution is not None and execution.node_id == node_id:
            self._executions.began(execution_id)

    def begun_at(self, node_id: str) -> list[str]:
        """See `Engine.begun_at`."""
        return [execution.execution_id for execution in self._executions.begun_at(node_id)]

    async def note(self, note: Note) -> None:
        """See `Engine.note`."""
        if note.execution_id is None:
            raise NotFound("a note is about an execution")
        kept = {"message": note.message, "tags": list(note.tags)}
        await self._reports.note(note.execution_id, kept, run_id=note.place.run_id)
