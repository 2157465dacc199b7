"""The one place every outgoing event passes: it gets an id, is encoded once, and goes to all who listen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec

from agentfield_adapters.local.ids import Ids
from agentfield_adapters.local.protocol.dialling import DigitReceived
from agentfield_adapters.local.protocol.server_events import ServerEvent


@dataclass(frozen=True, slots=True)
class EventFrame:
    """An event as it goes over a wire: the value, for those who choose, and its JSON text."""

    event: ServerEvent
    text: str


class EventListener(Protocol):
    """A client's connection: a websocket, a sideband or a data channel."""

    def deliver(self, frame: EventFrame) -> None:
        """Queue `frame` for the client; never waits and never raises for a client that is gone."""
        ...


class EventStream:
    """The events of one session, in order, to every connection of it."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._encoder = msgspec.json.Encoder()
        self._listeners: list[EventListener] = []

    def join(self, listener: EventListener) -> None:
        """Send events from now on to `listener` too."""
        self._listeners.append(listener)

    def leave(self, listener: EventListener) -> None:
        """Send nothing more to `listener`; one that never joined is no fault."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def emit(self, event: ServerEvent) -> None:
        """Send `event` to every connection."""
        frame = self._stamped(event)
        for listener in tuple(self._listeners):
            listener.deliver(frame)

    def emit_to(self, listener: EventListener, event: ServerEvent) -> None:
        """Send `event` to one connection only, such as the refusal of what it asked."""
        listener.deliver(self._stamped(event))

    def _stamped(self, event: ServerEvent) -> EventFrame:
        body = self._encoder.encode(event).decode()
        if isinstance(event, DigitReceived):
            return EventFrame(event, body)
        return EventFrame(event, f'{{"event_id":"{self._ids.new("event")}",{body[1:]}')
