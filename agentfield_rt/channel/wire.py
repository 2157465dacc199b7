"""Ports: what carries the frames of a channel, and whoever makes one to a plane."""

from importlib.metadata import entry_points
from typing import Protocol

from agentfield_rt.errors import RealtimeError

DIALERS_GROUP = "agentfield_rt.channel_dialers"


class WireLost(RealtimeError):
    """The connection is gone; the channel goes on with the next one."""


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


def installed_dialer() -> Dialer:
    """The dialer among the installed packages.

    Raises:
        RealtimeError: there is none.
    """
    for entry in entry_points(group=DIALERS_GROUP):
        try:
            dialer: Dialer = entry.load()
        except ImportError as error:
            raise RealtimeError(
                f"to connect to a server, {error.name} is needed; pip install 'agentfield-rt[agent]'"
            ) from error
        return dialer
    raise RealtimeError("nothing here connects to a server; pip install 'agentfield-rt[agent]'")
