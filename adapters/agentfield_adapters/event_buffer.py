"""Events between a provider and the runtime: bounded, in order, one producer, one consumer. Knows no wire."""

import asyncio
from collections import deque
from collections.abc import Callable

from agentfield_rt.errors import ConnectionLost
from agentfield_rt.frames import ProviderEvent


class EventBuffer:
    """Keeps events nobody has received yet, also across a restart.

    The producer waits for `room` before it reads on, so a slow runtime slows the provider's socket
    down instead of filling memory.

    Args:
        events_max: How many events are kept before `room` waits. One wire event may append a few more.
    """

    def __init__(self, *, events_max: int) -> None:
        self._events: deque[ProviderEvent] = deque()
        self._events_max = events_max
        self._loss: ConnectionLost | None = None
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def __len__(self) -> int:
        return len(self._events)

    @property
    def loss(self) -> ConnectionLost | None:
        """Why no more events come; None while the connection is open."""
        return self._loss

    def append(self, event: ProviderEvent) -> None:
        self._events.append(event)
        self._signal()

    async def room(self) -> None:
        """Wait until fewer than `events_max` events are kept."""
        await self._writable.wait()

    def discard(self, unwanted: Callable[[ProviderEvent], bool]) -> None:
        """Forget the kept events that are `unwanted`."""
        self._events = deque(event for event in self._events if not unwanted(event))
        self._signal()

    def end(self, loss: ConnectionLost) -> None:
        """No more events: whoever takes gets what is left, then the latest `loss`."""
        self._loss = loss
        self._signal()

    def reopen(self) -> None:
        """A new connection feeds this buffer; what the old one left is still handed out first."""
        self._loss = None
        self._signal()

    async def take(self, demand: int) -> tuple[ProviderEvent, ...]:
        """Wait for one event, then return at most `demand` in order. Cancelling it loses none.

        Raises:
            ConnectionLost: the buffer has ended and is empty.
            ValueError: `demand` is below 1.
        """
        if demand < 1:
            raise ValueError(f"demand must be at least 1, not {demand}")
        while not self._events:
            if self._loss is not None:
                raise fresh(self._loss)
            await self._readable.wait()
        # Nothing is awaited from here on, so a cancelled call has removed no event.
        taken = tuple(self._events.popleft() for _ in range(min(demand, len(self._events))))
        self._signal()
        return taken

    def _signal(self) -> None:
        _set(self._readable, bool(self._events) or self._loss is not None)
        # An ended buffer holds nobody back: its producer must be free to finish.
        _set(self._writable, len(self._events) < self._events_max or self._loss is not None)


def fresh(loss: ConnectionLost) -> ConnectionLost:
    """The same loss as a new exception: one raised twice would drag its first traceback along."""
    return ConnectionLost(str(loss), reason=loss.reason, retryable=loss.retryable)


def _set(event: asyncio.Event, on: bool) -> None:
    if on:
        event.set()
    else:
        event.clear()
