"""What agents of this process note on their executions; one that is elsewhere sends its notes."""

import asyncio
import logging

from agentfield_journal import JournalError
from agentfield_rt.agent import ExecutionContext
from agentfield_rt.plane.errors import PlaneError
from agentfield_rt.plane.executions.reports import Reports

log = logging.getLogger(__name__)

WAITING_MAX = 1_000
"""Notes that are being written down. More are lost, and the log says so."""


class AgentNotes:
    """Takes notes and writes them down in the background (`agent.Noter`)."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def __call__(self, message: str, tags: tuple[str, ...], context: ExecutionContext) -> None:
        """Note something on `context`'s execution; from any thread."""
        self._loop.call_soon_threadsafe(self._begin, message, tags, context)

    def _begin(self, message: str, tags: tuple[str, ...], context: ExecutionContext) -> None:
        if len(self._tasks) >= WAITING_MAX:
            log.warning("a note on %s is lost: %d wait", context.execution_id, WAITING_MAX)
            return
        task = asyncio.create_task(self._write(message, tags, context), name=f"note {context.execution_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, message: str, tags: tuple[str, ...], context: ExecutionContext) -> None:
        if context.execution_id is None:
            return
        try:
            kept = {"message": message, "tags": list(tags)}
            await self._reports.note(context.execution_id, kept, run_id=context.run_id)
        except (PlaneError, JournalError) as error:
            log.warning("a note on %s is lost: %s", context.execution_id, type(error).__name__)

    async def close(self) -> None:
        """Write down what waits."""
        if self._tasks:
            await asyncio.wait(self._tasks)
