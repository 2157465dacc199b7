"""Ports: what carries the frames of a channel, and whoever makes one to a plane."""

from typing import Protocol

from agentfield_rt.errors import RealtimeError
from agentfield_rt.extensions import Extensions, NotInstalled


class WireLost(RealtimeError):
    """The connection is gone; the channel goes on with the next one."""


class WireSilent(WireLost):
    """Nothing came over the connection for a whole lease, so whoever is at its other end is gone."""


class ServerRefused(RealtimeError):
    """The plane does not let this agent in, and will not the next time either."""


class Wire(Protocol):
    """One connection that carries text frames in order, until it breaks. One task sends, one receives."""

    async def send(self, frame: str) -> None:
        """Send a frame; returns when there is room for another.

        Raises:
            WireLost: it is broken.
        """
        ...

    async def receive(self) -> str | bytes:
        """The next frame.

        Raises:
            WireLost: it is broken, closed, or a frame was too large for it.
        """
        ...

    async def close(self, reason: str) -> None:
        """End it; never raises. `reason` is for the other end's log."""
        ...


class Dialer(Protocol):
    """Connects to a plane."""

    async def __call__(self, url: str, *, headers: dict[str, str], frame_bytes_max: int) -> Wire:
        """A wire to `url`, which begins with ws or wss.

        Raises:
            WireLost: nobody answers there now.
            ServerRefused: whoever does refuses us: the key is wrong, or it is no such server.
        """
        ...


DIALERS = Extensions[Dialer]("agentfield_rt.channel_dialers")


def installed_dialer() -> Dialer:
    """What connects to a plane by websocket.

    Raises:
        RealtimeError: nothing here does.
    """
    try:
        return DIALERS.load("websocket")
    except NotInstalled as missing:
        why = f"{missing.lacks} is needed" if missing.lacks else "something is missing"
        raise RealtimeError(f"to connect to a server, {why}; pip install 'agentfield-rt[agent]'") from missing
