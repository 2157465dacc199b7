"""What we take from an offer: one stream of audio and perhaps a data channel, over one transport."""

from dataclasses import dataclass
from enum import StrEnum

from agentfield_rt.errors import RealtimeError


class BadOffer(RealtimeError):
    """The caller's fault: this is no offer for an audio call. Says what is wrong, never what was written."""


class Direction(StrEnum):
    """Which way the offerer's audio flows, as it sees it (RFC 8866 6.7)."""

    BOTH = "sendrecv"
    SENDS = "sendonly"
    RECEIVES = "recvonly"


@dataclass(frozen=True, slots=True)
class Codec:
    """A payload format (RFC 8866 6.6).

    Attributes:
        payload_type: Its number in this offer.
        name: As registered, in its usual spelling: `opus`, `PCMU`, `PCMA`, `telephone-event`.
        parameters: Of `a=fmtp`, by name; those we know, in the order of their names.
        reports_transport: Feedback for congestion control is wanted (`transport-cc`).
    """

    payload_type: int
    name: str
    clock_rate_hz: int
    channels: int = 1
    parameters: tuple[tuple[str, str], ...] = ()
    reports_transport: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address over UDP at which the caller may be reached (RFC 8839 5.1).

    Attributes:
        kind: `host`, `srflx`, `prflx` or `relay`.
    """

    foundation: str
    priority: int
    address: str
    port: int
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """How a connection to the caller is made and secured: ICE credentials and the key's SHA-256.

    Attributes:
        setup: `actpass` or `active`: which side may begin the DTLS handshake.
    """

    ufrag: str
    password: str
    fingerprint: str
    setup: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChannel:
    """The section of the data channel."""

    mid: str
    sctp_port: int
    message_bytes_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An offer for an audio call.

    Attributes:
        mid: The audio section's name.
        extensions: URIs of RTP header extensions that both sides may use, with their numbers.
        sources: The caller's SSRCs with their canonical names.
        stream: `a=msid`: what the caller calls its stream and track.
        channel: None when no data channel is asked for.
        channel_first: The data channel's section comes before the audio's.
    """

    mid: str
    direction: Direction
    codecs: tuple[Codec, ...]
    transport: Transport
    extensions: tuple[tuple[int, str], ...] = ()
    candidates: tuple[Candidate, ...] = ()
    sources: tuple[tuple[int, str], ...] = ()
    stream: str | None = None
    channel: DataChannel | None = None
    channel_first: bool = False
