"""The clock of all calls: 20 ms after 20 ms, whoever joined is asked to send, all of them from one timer.

A timer and a task for each call would wake the loop for each frame. The calls are spread over a few phases,
so that a hundred of them do not hold the loop for a hundred frames at once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

FRAME_S = 0.02
PHASES = 4
STALL_S_MAX = 0.1
"""What the loop was late by and may be caught up, frame after frame. After more the clock is set anew."""

_log = logging.getLogger(__name__)


class Paced(Protocol):
    """What sends a frame every 20 ms."""

    async def send_next(self, skipped_frames: int) -> None:
        """Send what is due now; never waits.

        Args:
            skipped_frames: For how many frames before this one it was not asked, after a stall of the loop.
        """
        ...

    def failed(self) -> None:
        """Be told that `send_next` raised and is asked no more."""
        ...


class Pacer:
    """Asks everything that joined, every 20 ms. One serves all calls of a loop."""

    def __init__(self) -> None:
        self._phases: tuple[list[Paced], ...] = tuple([] for _ in range(PHASES))
        self._task: asyncio.Task[None] | None = None

    def join(self, member: Paced) -> None:
        """Ask `member` as well, for the first time within 20 ms."""
        min(self._phases, key=len).append(member)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="media pacer")

    def leave(self, member: Paced) -> None:
        """Ask `member` no more; nothing happens if it is not asked."""
        for members in self._phases:
            if member in members:
                members.remove(member)
        if self._task is not None and not any(self._phases):
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        due_s, skipped_frames = clock(), 0
        while any(self._phases):
            for members in self._phases:
                due_s += FRAME_S / PHASES
                if not members:
                    continue
                await asyncio.sleep(due_s - clock())
                for member in tuple(members):
                    await self._ask(member, skipped_frames)
            late_s = clock() - due_s
            skipped_frames = int(late_s / FRAME_S) if late_s > STALL_S_MAX else 0
            due_s += skipped_frames * FRAME_S

    async def _ask(self, member: Paced, skipped_frames: int) -> None:
        try:
            await member.send_next(skipped_frames)
        except Exception:  # one call's fault must not silence the others
            _log.exception("a call cannot send, so it is ended")
            self.leave(member)
            member.failed()
