"""What the runtime asks of the outside: provider adapters, an encoder for recordings and a clock."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from agentfield_rt.errors import CloseReason
from agentfield_rt.frames import InputFrame, ProviderEvent
from agentfield_rt.items import History
from agentfield_rt.turn_detection import TurnDetection

Clock = Callable[[], int]
"""Wall time in nanoseconds since the epoch."""

system_clock: Clock = time.time_ns


class AudioFormat(StrEnum):
    """How audio is written on the way to the provider and back; within the runtime it is PCM at 24 kHz.

    `pcm16` is mono int16 PCM at 24 kHz, 48 bytes a millisecond; the others are G.711 at 8 kHz, 8 bytes.
    """

    PCM16 = "pcm16"
    G711_ULAW = "g711_ulaw"
    G711_ALAW = "g711_alaw"


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
        turn_detection: The provider's own object, sent whole; None is push to talk (`TurnEndFrame`).
        create_response: The model answers a turn by itself. False when a handler speaks.
        input_format: How the user's audio goes to the provider, where it goes over a websocket.
        output_format: How its answers come, where they come over one.
    """

    model: str | None = None
    voice: str | None = None
    instructions: str = ""
    modalities: tuple[str, ...] = ("audio", "text")
    phrases: tuple[str, ...] = ()
    rules: Mapping[str, str] = field(default_factory=dict[str, str])
    turn_detection: TurnDetection | None = None
    create_response: bool = False
    input_format: AudioFormat = AudioFormat.PCM16
    output_format: AudioFormat = AudioFormat.PCM16
    tools: tuple[ToolSpec, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectRequest:
    """Everything an adapter needs to open, or reopen, a session's connection.

    `offer_sdp` is the caller's SDP offer where media flows browser ↔ provider, already guarded;
    `incoming_call_id` names a phone call that rings at the provider and is to be answered. `history` is what
    was said before, for a provider that does not know it any more; None: say nothing of what was.
    """

    session_id: str
    config: SessionConfig
    offer_sdp: str | None = None
    incoming_call_id: str | None = None
    history: History | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A provider connection: never the same `connection_id` twice.

    `restored` counts the items of `ConnectRequest.history` that the provider knows now; None where it was not
    told of any, because it still knows them all or cannot be told.
    """

    session_id: str
    connection_id: str
    answer_sdp: str | None = None
    restored: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """Where a provider is and how to be let in. The key is shown in no repr.

    Attributes:
        dialect: How the server at `base_url` differs from the provider's own, by the adapter's name for it.
        strict: Events that the protocol does not have count as malformed, instead of being passed over.
    """

    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    dialect: str | None = None
    strict: bool = False


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
        """Hand one frame over. Returning means the provider's socket took it.

        A frame that there is no way to pass on is refused before anything is sent (`invalid_request`). After
        a `TurnEndFrame` the words of the turn are received, or `InputRejected`, once the provider knows.
        """
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
        """Replace the connection by a new one for the same session; the old one is gone afterwards.

        Where the provider forgot what was said, it is told `request.history` before anything else is sent:
        every item once, answering none of them; with `answer_owed` it is then asked for one answer. Of what
        came over the old connection and was not received, no word, tool call or audio is handed out any more:
        it did not happen. A `ToolResultFrame` may bring the output of a call in the history; a frame that the
        history has already is taken without effect.
        """
        ...

    async def close(self, reason: CloseReason) -> None:
        """Hang up and release everything. Safe in every state; a second call does nothing."""
        ...


@runtime_checkable
class PhoneAdapter(Protocol):
    """What an adapter can do besides whose provider answers telephones.

    Its `connect` answers the call of `ConnectRequest.incoming_call_id`.

    Raises (every method): `ProviderError`, as `ProviderAdapter`.
    """

    async def refer(self, target_uri: str) -> None:
        """Let the call of this session go on at a `tel:` or `sip:` address. Never overlaps itself."""
        ...

    async def reject(self, call_id: str, *, sip_status: int) -> None:
        """Refuse a call that rings, with a SIP status from 400 to 699. Needs no session."""
        ...


AdapterFactory = Callable[[ProviderSettings], ProviderAdapter]


class AudioEncoder(Protocol):
    """Encodes one recording. It blocks, and is used by one thread at a time; never by the event loop.

    What it returned until any moment must play without what follows: a crash leaves no more than that.
    """

    @property
    def format(self) -> str:
        """The file's format as the journal names it: `ogg_opus`."""
        ...

    def encode(self, caller: bytes, agent: bytes) -> bytes:
        """Take both sides, mono int16 PCM at 24 kHz of one length; return what of the file is complete.

        Raises:
            Exception: it cannot be encoded; the recording is given up.
        """
        ...

    def finish(self) -> bytes:
        """Return the rest of the file. Nothing is asked of this encoder afterwards."""
        ...


EncoderFactory = Callable[[], AudioEncoder]
