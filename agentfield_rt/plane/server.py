"""Runs a control plane as a server of its own, until it is told to stop."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from agentfield_rt.agent import Agent
from agentfield_rt.channel.message import MESSAGE_BYTES_MAX
from agentfield_rt.config import Settings
from agentfield_rt.logs import configure_logs
from agentfield_rt.plane.access import require_protection
from agentfield_rt.plane.app import create_app
from agentfield_rt.plane.control_plane import ControlPlane
from agentfield_rt.plane.data_directory import journal_path
from agentfield_rt.plane.errors import PlaneError
from agentfield_rt.plane.http.heads import BoundedHeads
from agentfield_rt.plane.http.protocol import RefusableWebSocket
from agentfield_rt.plane.operation.draining import Tell, Waiting

log = logging.getLogger(__name__)

GRACE_S = 3
"""How long connections may take to end when nothing is live any more."""

UNREAD_MAX_S = 30
"""How long a peer may take nothing of what is sent to it. Linux only: elsewhere a deaf peer is waited for."""

WAITING_MAX = 2_048
"""Connections that nobody has taken yet: of a burst of callers, none is to be reset."""


class PortInUse(PlaneError):
    """Somebody listens there already."""

    status = 409


def say_in_the_log(waiting: Waiting) -> None:
    """Tell the log what a server that is to stop waits for."""
    log.warning("%s", waiting)


class _Server(uvicorn.Server):
    """Lets calls end when it is asked to stop, and hangs up on those that do not.

    It hangs up before it waits for connections: an event stream ends with its session.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        plane: ControlPlane,
        *,
        on_ready: Callable[[str], None],
        on_waiting: Tell,
    ) -> None:
        super().__init__(config)
        self._plane = plane
        self._on_ready = on_ready
        self._on_waiting = on_waiting
        self._loop = asyncio.get_running_loop()
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            self._on_ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.wait([self._draining])
        await self._plane.sessions.close()
        await self._plane.fleet.close()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM lets live calls end first. Ctrl-C, and a second signal of any kind, do not wait."""
        is_first = not self.should_exit and not self._plane.draining.has_begun
        if sig == signal.SIGTERM and is_first and self._plane.settings.drain_s > 0:
            self._plane.draining.begin()  # here, not on the loop: the second signal may be very near
            self._loop.call_soon_threadsafe(self._drain)
        else:
            super().handle_exit(sig, frame)

    def _drain(self) -> None:
        self._draining = self._loop.create_task(self._stop_when_drained(), name="drain")

    async def _stop_when_drained(self) -> None:
        await self._plane.draining.drain(max_s=self._plane.settings.drain_s, tell=self._on_waiting)
        self.should_exit = True

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
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's algorithm on: a small message behind another then waits 20 ms
    # and more for the peer's delayed acknowledgement.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # what is accepted inherits it
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MAX_S * 1000)
        sock.bind((host, port))
        sock.listen(WAITING_MAX)
    except OSError as error:
        sock.close()
        raise PortInUse(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port, 0 for a free one"
        ) from error
    return sock


async def serve_async(
    agents: Sequence[Agent],
    settings: Settings,
    *,
    on_ready: Callable[[str], None],
    on_waiting: Tell = say_in_the_log,
) -> None:
    """Serve until cancelled or signalled, hang up and write everything down.

    Args:
        on_ready: Told the URL.
        on_waiting: Told what is waited for when SIGTERM finds live calls.

    Raises:
        Unprotected: others than this machine could use it without a key.
        PortInUse, DataDirectoryInUse, ProviderUnavailable: see there.
    """
    require_protection(settings)
    sock = listen(settings.host, settings.port)
    app = create_app(agents, settings=settings)
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        http=BoundedHeads,
        ws=RefusableWebSocket,
        timeout_graceful_shutdown=GRACE_S,
        ws_max_size=MESSAGE_BYTES_MAX,
        ws_per_message_deflate=False,  # its windows are half of what an idle connection holds
        server_header=False,
        lifespan="off",  # entered here: uvicorn would print what goes wrong in it and tell nobody
    )
    with contextlib.closing(sock):
        async with _exporting(settings), app.router.lifespan_context(app):
            collect_garbage_less()
            server = _Server(config, app.state.plane, on_ready=on_ready, on_waiting=on_waiting)
            await _serve_gracefully(server, sock)


def collect_garbage_less() -> None:
    """Leave alone what lives as long as the server, and look through the rest less often.

    Little of what a request makes refers to itself, and a full collection with ten thousand executions in the
    queue stops every call for a tenth of a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@asynccontextmanager
async def _exporting(settings: Settings) -> AsyncGenerator[None]:
    """Send traces and metrics, if that is wished and can be done: a server runs without them, too."""
    if settings.otlp_endpoint is None:
        yield
        return
    try:
        from agentfield_rt.plane.operation.otlp import exporting
    except ModuleNotFoundError as error:
        log.warning("no traces are sent: %s is missing; pip install 'agentfield-rt[otel]'", error.name)
        yield
        return
    async with exporting(settings.otlp_endpoint):
        yield


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
    configure_logs(settings)

    def say_ready(url: str) -> None:
        print(f"AgentField RT is at {url} (Ctrl-C ends it)", flush=True)  # noqa: T201

    def say_waiting(waiting: Waiting) -> None:
        print(f"{str(waiting).capitalize()} (Ctrl-C ends them)", flush=True)  # noqa: T201

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve_async(agents, settings, on_ready=say_ready, on_waiting=say_waiting))
    print(f"The journal is {journal_path(settings.data)}", flush=True)  # noqa: T201
