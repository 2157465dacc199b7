"""Group commit down a line on which several groups may be at once: while one is synced, the next is prepared.

Knows nothing of what an item is.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from agentfield_journal.errors import JournalUnavailable
from agentfield_journal.group import GroupCommit, GroupListener, GroupSink, as_journal_error

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_IN_FLIGHT_MAX = 2
_AHEAD_ITEMS_MIN = 16  # a group costs the store about as much as so many items
_NEVER = sys.maxsize


class GroupLine(Protocol[ItemT]):
    """Where groups go. Every method is called on the event loop and never blocks it."""

    def start(self) -> None: ...

    def send(self, group: list[ItemT], answer: Callable[[list[ItemT] | Exception], None], /) -> None:
        """`answer` takes what was refused of a group once it is durable, in the order of groups."""
        ...

    def close(self) -> None: ...


class PipelinedCommit(GroupCommit[ItemT]):
    """A `GroupCommit` with a second group in flight, when that is worth a sync of its own.

    It is when a group takes at least a third as long to prepare as to store: half of the items that go
    round are then prepared while the other half is stored. With a slower disk they are one group.
    """

    def __init__(
        self,
        sink: GroupSink[ItemT],
        listener: GroupListener[ItemT],
        line: GroupLine[ItemT],
        *,
        deadline_s: float,
    ) -> None:
        super().__init__(sink, listener, deadline_s=deadline_s)
        self._line = line
        self._clock = self._loop.time
        self._line.start()
        self._sent: deque[tuple[float, int]] = deque()
        self._groups_sent = 0
        self._drained: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._first_s: float | None = None
        self._item_s = 0.0
        self._answered_s = 0.0
        self._ahead_items = _NEVER

    def submit(self, item: ItemT) -> None:
        if not self._pending:
            # What arrives while another group is in flight may just wait: that tells nothing of the loop.
            self._first_s = None if self._in_flight else self._clock()
        self._pending.append(item)
        if len(self._pending) >= self._ahead_items and self._in_flight < _IN_FLIGHT_MAX:
            self._send_pending()
        elif not (self._scheduled or self._in_flight):
            self._schedule()

    def _start_group(self) -> None:
        if self._in_flight:
            self._scheduled = False  # its answer starts the next one
        else:
            super()._start_group()

    def _hand_over(self, group: list[ItemT]) -> None:
        self._groups_sent += 1
        now_s = self._clock()
        if self._first_s is not None:
            self._item_s = (now_s - self._first_s) / len(group)
        self._sent.append((now_s, len(group)))
        self._line.send(group, partial(self._answered, group))

    def _answered(self, group: list[ItemT], answer: list[ItemT] | Exception) -> None:
        if self.failure:
            return
        if isinstance(answer, Exception):
            self.failure = as_journal_error(answer)
            self._loop.call_soon(self._stop, answer)  # not inside an `append` that sent the group
            return
        self._judge()
        self._group_done(group, answer)
        while self._drained and self._drained[0][0] <= self._groups_sent - self._in_flight:
            _settle_none(self._drained.popleft()[1])

    def _judge(self) -> None:
        """Decide from the group just answered how many items go ahead while others are in flight."""
        now_s = self._clock()
        sent_s, items = self._sent.popleft()
        stored_in_s = now_s - max(sent_s, self._answered_s)
        self._answered_s = now_s
        half = (items + sum(others for _, others in self._sent) + len(self._pending) + 1) // 2
        worth_it = half >= _AHEAD_ITEMS_MIN and stored_in_s <= 3 * self._item_s * items
        self._ahead_items = half if worth_it else _NEVER

    def _stop(self, error: Exception) -> None:
        super()._stop(error)
        while self._drained:
            _settle_none(self._drained.popleft()[1])

    async def run(self, job: Callable[[], ResultT]) -> ResultT:
        if self._pending and not self.failure:
            self._send_pending()
        if self._in_flight and not self.failure:
            drained: asyncio.Future[None] = self._loop.create_future()
            self._drained.append((self._groups_sent, drained))
            try:
                async with asyncio.timeout(self._deadline_s):
                    await drained
            except TimeoutError:
                raise JournalUnavailable(f"the store did not answer within {self._deadline_s} s") from None
        return await super().run(job)

    async def close(self) -> None:
        try:
            await super().close()
        finally:
            self._line.close()


def _settle_none(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
