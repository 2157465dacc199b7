"""Events between a provider and the runtime: bounded, in order, one producer, one consumer. Knows no wire."""

from collections.abc import Callable

from agentfield_rt.errors import ConnectionLost
from agentfield_rt.frames import (
    InputRejected,
    InputTranscript,
    OutputAudio,
    OutputTranscript,
    PlaybackStarted,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
)
from agentfield_rt.handover import Handover
from agentfield_rt.idle import Signal

_HAPPENED = (
    SpeechStarted, SpeechStopped, InputTranscript, InputRejected, ResponseStarted, OutputAudio,
    OutputTranscript, PlaybackStarted, ToolCalled,
)  # fmt: skip
"""What begins or says something: told of by the conversation's next connection, if at all."""


class EventBuffer:
    """Keeps events nobody has received yet, also across a restart.

    The producer waits for `room` before it reads on, so a slow runtime slows the provider's socket
    down instead of filling memory.

    Args:
        events_max: How many events are kept before `room` waits. One wire event may append a few more.
    """

    def __init__(self, *, events_max: int) -> None:
        self._events: list[ProviderEvent] = []
        self._events_max = events_max
        self._loss: ConnectionLost | None = None
        self._readers: list[Handover] = []
        self._writable = Signal()
        self._writable.set()

    def __len__(self) -> int:
        return len(self._events)

    @property
    def loss(self) -> ConnectionLost | None:
        """Why no more events come; None while the connection is open."""
        return self._loss

    @property
    def is_full(self) -> bool:
        """Whether `room` waits, so the producer does not read on."""
        return not self._writable.is_set()

    def append(self, event: ProviderEvent) -> None:
        """Keep an event; whoever waits takes it in a later turn of the event loop."""
        self.keep(event)
        self._wake_readers()

    def keep(self, event: ProviderEvent) -> None:
        """Keep an event for `hand_over`, which must follow."""
        self._events.append(event)
        if len(self._events) >= self._events_max:
            self._signal()

    def hand_over(self) -> None:
        """Let whoever waits take what is kept: they go on now, and this returns at their next wait.

        Meanwhile they may do anything, also end or replace the connection that the events come from.
        """
        if self._events:
            for reader in tuple(self._readers):
                if not reader.done():
                    reader.give()

    async def room(self) -> None:
        """Wait until fewer than `events_max` events are kept."""
        await self._writable.wait()

    def discard(self, unwanted: Callable[[ProviderEvent], bool]) -> None:
        """Forget the kept events that are `unwanted`."""
        self._events = [event for event in self._events if not unwanted(event)]
        self._signal()

    def end(self, loss: ConnectionLost) -> None:
        """No more events: whoever takes gets what is left, then the latest `loss`."""
        self._loss = loss
        self._signal()

    def reopen(self) -> None:
        """A new connection feeds this buffer; what the old one left is still handed out first."""
        self._loss = None
        self._signal()

    def forget(self) -> None:
        """What nobody received of a connection that is replaced did not happen, but for what it ended."""
        unheard = {event.response_id for event in self._events if isinstance(event, ResponseStarted)}
        self.discard(
            lambda event: (
                isinstance(event, _HAPPENED)
                or (isinstance(event, ResponseEnded) and event.response_id in unheard)
            )
        )

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
            reader = Handover()
            self._readers.append(reader)
            try:
                await reader
            finally:
                self._readers.remove(reader)
        # Nothing is awaited from here on, so a cancelled call has removed no event.
        taken = tuple(self._events[:demand])
        del self._events[:demand]
        if not self._writable.is_set():
            self._signal()
        return taken

    def _wake_readers(self) -> None:
        for reader in self._readers:
            if not reader.done():
                reader.set_result(None)

    def _signal(self) -> None:
        if self._loss is not None:
            self._wake_readers()
        # An ended buffer holds nobody back: its producer must be free to finish.
        if len(self._events) < self._events_max or self._loss is not None:
            self._writable.set()
        else:
            self._writable.clear()


def fresh(loss: ConnectionLost) -> ConnectionLost:
    """The same loss as a new exception: one raised twice would drag its first traceback along."""
    return ConnectionLost(str(loss), reason=loss.reason, retryable=loss.retryable)
