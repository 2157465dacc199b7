"""The tasks that work for one session, and what happens when one of them fails."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from agentfield_rt.idle import Few

log = logging.getLogger(__name__)

STOP_MAX_S = 3.0

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
"""Runs work under a name for as long as a session lives (`SessionTasks.spawn`)."""


def is_cancelled() -> bool:
    """Whether the running task itself is being cancelled, rather than something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class SessionTasks:
    """Every task of a session: they end with it, and one that fails ends it.

    Args:
        failed: Called when a task raised, or was cancelled by somebody else.
    """

    def __init__(self, session_id: str, *, failed: Callable[[], object]) -> None:
        self._session_id = session_id
        self._failed = failed
        self._tasks = Few[asyncio.Task[None]]()
        self._is_stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` for as long as the session lives; not at all once its tasks are stopped."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        task = self._loop.create_task(work, name=f"{name} {self._session_id}")
        self._tasks.add(task)
        if self._is_stopping:
            task.cancel()
        task.add_done_callback(self._ended)
        return task

    def __contains__(self, task: object) -> bool:
        return task in self._tasks

    async def stop(self) -> None:
        """Cancel them all; one that will not stop does not keep the microphone open."""
        self._is_stopping = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=STOP_MAX_S)
            for task in left:
                log.error("task %s does not stop", task.get_name())

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            if not self._is_stopping:
                log.error("task %s was cancelled", task.get_name())
                self._failed()
        elif (error := task.exception()) is not None:
            # Its text may hold what was said: the traceback is for hosts that ask for it.
            in_detail = error if log.isEnabledFor(logging.DEBUG) else None
            log.error("task %s failed: %s", task.get_name(), type(error).__name__, exc_info=in_detail)
            self._failed()
