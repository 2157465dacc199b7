"""What is worth showing now and not worth a record: partial words, states. Lossy by intention."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

from agentfield_rt.idle import Few

LiveEvent = dict[str, Any]

EVENTS_MAX = 256
"""A reader that is further behind loses the oldest; the next event makes up for it."""


class LiveFeed:
    """One session's live events, for any number of readers."""

    def __init__(self) -> None:
        self._readers = Few[_Reader]()
        self._closed = False

    @property
    def readers(self) -> int:
        """How many follow it."""
        return len(self._readers)

    def publish(self, event: LiveEvent) -> None:
        for reader in self._readers:
            reader.give(event)

    def close(self) -> None:
        """End every reader's iteration."""
        self._closed = True
        for reader in self._readers:
            reader.wake.set()

    async def subscribe(self) -> AsyncGenerator[LiveEvent]:
        """Every event from now on, until the feed closes."""
        reader = _Reader()
        self._readers.add(reader)
        try:
            while True:
                while reader.events:
                    yield reader.events.popleft()
                if self._closed:
                    return
                reader.wake.clear()
                await reader.wake.wait()
        finally:
            self._readers.discard(reader)


class _Reader:
    def __init__(self) -> None:
        self.events: deque[LiveEvent] = deque(maxlen=EVENTS_MAX)
        self.wake = asyncio.Event()

    def give(self, event: LiveEvent) -> None:
        self.events.append(event)
        self.wake.set()
