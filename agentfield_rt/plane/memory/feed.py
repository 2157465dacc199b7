"""Changes of memory for whoever watches: bounded for each reader, and a bounded history. Knows no store.

A change is encoded once and shared. What a reader gets is what was durable, in that order.
"""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from agentfield_rt.idle import Signal
from agentfield_rt.memory import (
    KEY_CHARS_MAX,
    PATTERNS_MAX,
    Interest,
    MemoryAccessError,
    MemoryRefused,
    Section,
    TooSlow,
)

READERS_MAX = 2_000
"""An unmodified agent has one for itself."""

WAITING_MAX = 256
WAITING_BYTES_MAX = 1024 * 1024
REMEMBERED_MAX = 1_000
REMEMBERED_BYTES_MAX = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Published:
    """A change as readers get it: `text` is its JSON."""

    section: Section
    key: str
    at_ns: int
    text: bytes = field(repr=False)


class Reader:
    """What waits for one who watches. Made for many who wait for nothing."""

    __slots__ = ("_missed", "_news", "_waiting", "_waiting_bytes", "interest")

    def __init__(self, interest: Interest) -> None:
        self.interest = interest
        self._waiting: list[Published] = []
        self._waiting_bytes = 0
        self._missed = 0
        self._news = Signal()

    def offer(self, change: Published) -> None:
        """Leave a change here; beyond what may wait, only how many there were."""
        if (
            self._missed
            or len(self._waiting) >= WAITING_MAX
            or (self._waiting and self._waiting_bytes + len(change.text) > WAITING_BYTES_MAX)
        ):
            self._missed += 1
        else:
            self._waiting.append(change)
            self._waiting_bytes += len(change.text)
        self._news.set()

    async def take(self) -> list[Published]:
        """Everything that waits, once something does.

        Raises:
            TooSlow: what waited is gone: it would have holes from here on.
        """
        await self._news.wait()
        self._news.clear()
        waiting, missed = self._waiting, self._missed
        self._waiting, self._waiting_bytes, self._missed = [], 0, 0
        if missed:
            raise TooSlow(missed + len(waiting))
        return waiting


class Feed:
    """Hands changes to readers and remembers the latest."""

    def __init__(self) -> None:
        self._readers: dict[Reader, None] = {}
        self._history: deque[Published] = deque()
        self._history_bytes = 0

    @property
    def has_room(self) -> bool:
        """Whether another may watch."""
        return len(self._readers) < READERS_MAX

    def publish(self, change: Published) -> None:
        """Hand on a change that is durable; never waits."""
        self._history.append(change)
        self._history_bytes += len(change.text)
        while len(self._history) > REMEMBERED_MAX or self._history_bytes > REMEMBERED_BYTES_MAX:
            self._history_bytes -= len(self._history.popleft().text)
        for reader in self._readers:
            if reader.interest.takes(change.section, change.key):
                reader.offer(change)

    @asynccontextmanager
    async def reading(self, interest: Interest) -> AsyncGenerator[Reader]:
        """Watch from now on.

        Raises:
            MemoryRefused: too many patterns, or one is too long.
            MemoryAccessError: as many watch as may.
        """
        check_interest(interest)
        if not self.has_room:
            raise MemoryAccessError(f"{READERS_MAX} watch memory, which is the limit; try again later")
        reader = Reader(interest)
        self._readers[reader] = None
        try:
            yield reader
        finally:
            del self._readers[reader]

    def history(self, interest: Interest, *, since_ns: int | None, limit: int) -> list[Published]:
        """The latest `limit` that are remembered, oldest first."""
        check_interest(interest)
        found: list[Published] = []
        for change in reversed(self._history):
            if len(found) >= limit or (since_ns is not None and change.at_ns <= since_ns):
                break
            if interest.takes(change.section, change.key):
                found.append(change)
        return found[::-1]


def check_interest(interest: Interest) -> None:
    """Refuse what would cost every change too much.

    Raises:
        MemoryRefused: too many patterns, or one is too long.
    """
    if len(interest.patterns) > PATTERNS_MAX or any(len(each) > KEY_CHARS_MAX for each in interest.patterns):
        raise MemoryRefused(f"at most {PATTERNS_MAX} patterns of {KEY_CHARS_MAX} characters are watched for")
