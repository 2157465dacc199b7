"""Callers whose media ends in this process: what the runtime asks of whoever holds their peer connections.

The code that speaks WebRTC is found by name, as adapters are, so the runtime needs no media library.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from agentfield_rt.errors import UnsupportedTransport
from agentfield_rt.extensions import Extensions, NotInstalled
from agentfield_rt.sdp import Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class IceServer:
    """A STUN or TURN server (RFC 7064, RFC 7065), with what it asks of those that use it.

    Attributes:
        urls: Such as `stun:host:3478`, `turn:host:3478?transport=udp`, `turns:host:5349`.
    """

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class IceSettings:
    """How connections with a caller may be made.

    Attributes:
        relay_only: Only over a TURN server: neither side learns the other's address.
    """

    servers: tuple[IceServer, ...] = ()
    relay_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerEvents:
    """Who is told what a caller does. Each is called on the event loop and returns at once.

    Attributes:
        heard: Mono int16 PCM at 24 kHz, any number of samples; what was lost on the way is made up for.
        digit: A key of the telephone's that was pressed: one of `0123456789*#ABCD` (RFC 4733).
        gone: The caller has hung up, cannot be reached any more, or never came; called once at most.
    """

    heard: Callable[[bytes], None]
    digit: Callable[[str], None]
    gone: Callable[[], None]


class CallerMedia(Protocol):
    """The media of one caller; also takes the agent's audio (`voice.player.Caller`)."""

    async def answer(self, offer: Offer) -> str:
        """The SDP answer to the caller's offer; from then on they may connect at any moment.

        Raises:
            BadOffer: the offer cannot be answered.
            UnsupportedTransport: not from this machine; says what would work.
        """
        ...

    async def play(self, pcm: bytes) -> None:
        """Take at most 20 ms of mono int16 PCM at 24 kHz."""
        ...

    async def clear(self) -> None:
        """Drop what has not been sent yet."""
        ...

    async def close(self) -> None:
        """Hang up. Never raises; nobody is told `gone`."""
        ...


class CallerMediaFactory(Protocol):
    """Makes the media of one caller; nothing is sent before `CallerMedia.answer`."""

    def __call__(self, events: CallerEvents, ice: IceSettings) -> CallerMedia: ...


MEDIA = Extensions[Callable[[], CallerMediaFactory]]("agentfield_rt.caller_media")


def webrtc_media() -> CallerMediaFactory:
    """What an installed package brings for callers over WebRTC; for one event loop.

    Raises:
        UnsupportedTransport: none does; says what to install.
    """
    try:
        callers = MEDIA.load("webrtc")
    except NotInstalled as missing:
        raise UnsupportedTransport(
            f"calls over WebRTC need a package that is not installed ({missing.lacks}); "
            "pip install 'agentfield-rt[webrtc]', or use the media websocket"
            if missing.lacks
            else "no installed package takes calls over WebRTC; use the media websocket"
        ) from missing
    return callers()
