"""The wire of an agent's channel as a websocket (`Dialer`)."""

import logging

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from agentfield_rt.channel.wire import ServerRefused, WireLost

OPEN_MAX_S = 10.0

_quiet = logging.getLogger("agentfield_rt.channel.websockets")
_quiet.setLevel(logging.INFO)  # at DEBUG it logs what it sends, that is what was said

REFUSALS = frozenset({400, 401, 403, 404, 405})
"""Answers that will be the same the next time."""


async def dial(url: str, *, headers: dict[str, str], frame_bytes_max: int) -> "WebsocketWire":
    """See `Dialer`."""
    try:
        connection = await connect(
            url,
            additional_headers=headers,
            max_size=frame_bytes_max,
            open_timeout=OPEN_MAX_S,
            ping_interval=None,  # the channel keeps itself alive
            close_timeout=1,
            compression=None,
            logger=_quiet,
        )
    except InvalidStatus as error:
        status = error.response.status_code
        if status in REFUSALS:
            raise ServerRefused(
                f"{url} answers {status}; is it a control plane, and the key right?"
            ) from None  # the handshake's own error says no more
        raise WireLost(f"{url} answers {status}") from error
    except InvalidURI:
        raise ServerRefused(f"{url} is no address") from None
    except (OSError, TimeoutError, InvalidHandshake) as error:
        raise WireLost(f"nobody answers at {url}") from error
    return WebsocketWire(connection)


class WebsocketWire:
    """One connection; satisfies `Wire`."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, frame: str) -> None:
        try:
            await self._connection.send(frame)
        except ConnectionClosed as error:
            raise WireLost(f"the server has closed the connection: {error}") from error

    async def receive(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise WireLost(f"the server has closed the connection: {error}") from error

    async def close(self, reason: str) -> None:
        await self._connection.close(1000, reason[:120])
