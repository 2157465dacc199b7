"""Tells of outcomes until whoever registered has taken them, or for some hours. Journaled as deliveries.

Each webhook is a run of its own: an execution's run ends when its work does, and does not wait for somebody's
server. That one is owed follows from what is durable, so nothing has to be noted for a process that dies.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from agentfield_journal import JournalError
from agentfield_rt.errors import RealtimeError
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.notation import webhook_run_id
from agentfield_rt.plane.runs import Runs
from agentfield_rt.plane.webhooks.telling import PAUSES_S, Teller
from agentfield_rt.plane.webhooks.views import WebhookEvent, webhook_events

log = logging.getLogger(__name__)

AT_ONCE_MAX = 16
AT_ONCE_OF_ONE_MAX = 4
"""To one receiver: one that takes them and does not answer must not keep those of others waiting."""

OWED_MAX = 10_000
"""Known in memory; what is beyond that is looked up when half of these are told."""

STOP_MAX_S = 5.0


class Owed(Protocol):
    """Finds out which webhooks are owed."""

    async def __call__(self, *, limit: int) -> list[str]:
        """Ids of their executions."""
        ...


@dataclass(slots=True)
class _Line:
    """What goes to one receiver: how many are under way, and what waits until one of these is over."""

    at_once: int = 0
    waiting: deque[str] = field(default_factory=deque[str])


class Webhooks:
    """Belongs to the event loop it was made on."""

    def __init__(self, runs: Runs, teller: Teller, owed: Owed) -> None:
        self._runs = runs
        self._teller = teller
        self._look_up = owed
        self._owed: dict[str, asyncio.TimerHandle] = {}
        self._due: asyncio.Queue[tuple[str, str | None]] = (
            asyncio.Queue()
        )  # with its receiver, once looked up
        self._lines: dict[str, _Line] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._left_out = False

    def __len__(self) -> int:
        """How many are owed, as far as is known."""
        return len(self._owed)

    async def start(self) -> None:
        """Go on with what an earlier process owed, and tell of what ends from now on."""
        self._workers = [
            asyncio.create_task(self._work(), name=f"webhooks {number}") for number in range(AT_ONCE_MAX)
        ]
        await self._look()

    def finished(self, execution: Execution) -> None:
        """An execution ended, durably. Never waits."""
        if execution.webhook_ref is not None:
            self._owe(execution.execution_id, 0.0)

    async def events(self, execution: Execution) -> list[WebhookEvent]:
        """What became of the tries to tell of an execution, oldest first.

        Raises:
            JournalError: they cannot be read.
        """
        run_id = webhook_run_id(execution.execution_id)
        return webhook_events(execution, await self._runs.journal.read(run_id))

    async def close(self) -> None:
        """Stop. What is under way is in doubt; the next process will try it again, and all that is owed."""
        for timer in self._owed.values():
            timer.cancel()
        self._owed.clear()
        for worker in self._workers:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers, timeout=STOP_MAX_S)

    def _owe(self, execution_id: str, pause_s: float) -> None:
        if execution_id in self._owed:
            return
        if len(self._owed) >= OWED_MAX:
            self._left_out = True
            return
        loop = asyncio.get_running_loop()
        self._owed[execution_id] = loop.call_later(pause_s, self._due.put_nowait, (execution_id, None))

    async def _work(self) -> None:
        while True:
            execution_id, receiver = await self._due.get()
            if receiver is None:
                receiver = await self._receiver(execution_id)
            line = self._lines.setdefault(receiver, _Line())
            if line.at_once >= AT_ONCE_OF_ONE_MAX:
                line.waiting.append(execution_id)
                continue
            line.at_once += 1
            pause_s = await self._tell(execution_id)
            line.at_once -= 1
            if line.waiting:
                self._due.put_nowait((line.waiting.popleft(), receiver))
            elif not line.at_once:
                del self._lines[receiver]
            self._owed.pop(execution_id, None)
            if pause_s is not None:
                self._owe(execution_id, pause_s)
            elif self._left_out and len(self._owed) < OWED_MAX // 2:
                await self._look()

    async def _receiver(self, execution_id: str) -> str:
        try:
            return await self._teller.receiver(execution_id)
        except Exception:  # the same is said when it is tried
            return ""

    async def _tell(self, execution_id: str) -> float | None:
        try:
            return await self._teller.tell(execution_id)
        except Exception as error:  # also a bug of ours: a worker that ends takes all others' webhooks along
            log.error("the webhook of %s was not tried: %s", execution_id, type(error).__name__)
            return PAUSES_S[-1]

    async def _look(self) -> None:
        self._left_out = False
        try:
            found = await self._look_up(limit=OWED_MAX)
        except (RealtimeError, JournalError) as error:
            log.error("which webhooks are owed could not be looked up: %s", type(error).__name__)
            self._left_out = True
            return
        self._left_out = len(found) >= OWED_MAX
        for execution_id in found:
            self._owe(execution_id, 0.0)
