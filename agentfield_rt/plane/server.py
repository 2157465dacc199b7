"""Runs a control plane as a server of its own, until it is told to stop."""

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from agentfield_rt.agent import Agent
from agentfield_rt.config import Settings
from agentfield_rt.plane.access import require_protection
from agentfield_rt.plane.app import create_app
from agentfield_rt.plane.control_plane import ControlPlane, journal_path
from agentfield_rt.plane.errors import PlaneError

GRACE_S = 3

UNREAD_MAX_S = 30
"""How long a peer may take nothing of what is sent to it. Linux only: elsewhere a deaf peer is waited for."""


class PortInUse(PlaneError):
    """Somebody listens there already."""

    status = 409


class _Server(uvicorn.Server):
    """Hangs up before it waits for connections: an event stream ends with its session."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        on_ready: Callable[[str], None],
        hang_up: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._hang_up = hang_up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            self._on_ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._hang_up()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop when signalled; raising the signal again afterwards would cut the plane's own end short."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread is signalled; whoever started this one cancels it
            return
        kept = {name: signal.signal(name, self.handle_exit) for name in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for name, handler in kept.items():
                signal.signal(name, handler)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        PortInUse: the port is taken.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # what is accepted inherits it
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MAX_S * 1000)
        sock.bind((host, port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise PortInUse(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port, 0 for a free one"
        ) from error
    return sock


async def serve_async(
    agents: Sequence[Agent], settings: Settings, *, on_ready: Callable[[str], None]
) -> None:
    """Serve until cancelled or signalled, hang up and write everything down; `on_ready` is told the URL.

    Raises:
        Unprotected: others than this machine could use it without a key.
        PortInUse, DataDirectoryInUse, ProviderUnavailable: see there.
    """
    require_protection(settings)
    sock = listen(settings.host, settings.port)
    app = create_app(agents, settings=settings)
    config = uvicorn.Config(
        app,
        log_level="warning",
        ws="websockets-sansio",
        timeout_graceful_shutdown=GRACE_S,
        ws_max_size=64 * 1024,
        server_header=False,
        lifespan="off",  # entered here: uvicorn would print what goes wrong in it and tell nobody
    )
    with contextlib.closing(sock):
        async with app.router.lifespan_context(app):
            plane: ControlPlane = app.state.plane
            server = _Server(config, on_ready=on_ready, hang_up=plane.sessions.close)
            await _serve_gracefully(server, sock)


async def _serve_gracefully(server: _Server, sock: socket.socket) -> None:
    serving = asyncio.create_task(server.serve([sock]), name="http server")
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise


def serve(
    agents: Sequence[Agent],
    *,
    host: str | None = None,
    port: int | None = None,
    data: str | Path | None = None,
) -> None:
    """Serve `agents` until Ctrl-C, and say where the journal is. What is None comes from the environment.

    Raises:
        PortInUse, DataDirectoryInUse: see there.
    """
    given: dict[str, Any] = {"host": host, "port": port, "data": data}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})

    def say_ready(url: str) -> None:
        print(f"AgentField RT is at {url} (Ctrl-C ends it)", flush=True)  # noqa: T201

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve_async(agents, settings, on_ready=say_ready))
    print(f"The journal is {journal_path(settings.data)}", flush=True)  # noqa: T201
