"""What the runtime asks of the outside: provider adapters and a clock."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from agentfield_rt.errors import CloseReason
from agentfield_rt.frames import InputFrame, ProviderEvent

Clock = Callable[[], int]
"""Wall time in nanoseconds since the epoch."""

system_clock: Clock = time.time_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool as the provider's model sees it; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig:
    """What the provider is told about a session.

    Attributes:
        phrases: What callers may say, in JSGF right-hand-side syntax; a hint for the recogniser.
        rules: Named parts of `phrases`, e.g. `{"number": "one | two"}` for `<number>`.
        turn_detection: The provider's own object, sent whole; None is push to talk.
        create_response: The model answers a turn by itself. False when a handler speaks.
    """

    model: str | None = None
    voice: str | None = None
    instructions: str = ""
    modalities: tuple[str, ...] = ("audio", "text")
    phrases: tuple[str, ...] = ()
    rules: Mapping[str, str] = field(default_factory=dict[str, str])
    turn_detection: Mapping[str, Any] | None = None
    create_response: bool = False
    tools: tuple[ToolSpec, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectRequest:
    """Everything an adapter needs to open, or reopen, a session's connection.

    `offer_sdp` is the caller's SDP offer where media flows browser ↔ provider, already guarded.
    """

    session_id: str
    config: SessionConfig
    offer_sdp: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A provider connection: never the same `connection_id` twice."""

    session_id: str
    connection_id: str
    answer_sdp: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """Where a provider is and how to be let in. The key is shown in no repr."""

    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)


@runtime_checkable
class ProviderAdapter(Protocol):
    """One session's connection to a provider. Made by a factory `(ProviderSettings) -> ProviderAdapter`.

    An adapter performs what it is asked and reports what happened; it journals nothing, retries
    nothing and reconnects never by itself. Every method may be cancelled at any await and is called
    under a deadline. `send`, `receive`, `interrupt` and `close` may overlap; `send` never overlaps
    itself, nor does `receive`.

    Raises (every method): `ProviderError`, with `not_done` true only if the provider certainly did
    not act; `ConnectionLost` when the connection is gone.
    """

    async def connect(self, request: ConnectRequest) -> Connection:
        """Open the connection and configure the session; it is usable when this returns."""
        ...

    async def send(self, frame: InputFrame) -> None:
        """Hand one frame over. Returning means the provider's socket took it."""
        ...

    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        """Wait for at least one event and return at most `demand` of those that are there, in order.

        A cancelled call loses no event. Events that arrive while nobody receives are kept, bounded.
        """
        ...

    async def interrupt(self, response_id: str, *, heard_ms: int | None) -> None:
        """Stop a response; of its audio the caller heard `heard_ms` (None: the provider knows better)."""
        ...

    async def restart(self, request: ConnectRequest) -> Connection:
        """Replace the connection by a new one for the same session; the old one is gone afterwards."""
        ...

    async def close(self, reason: CloseReason) -> None:
        """Hang up and release everything. Safe in every state; a second call does nothing."""
        ...


AdapterFactory = Callable[[ProviderSettings], ProviderAdapter]
