"""The provider as a process: one socket, one line when it is ready, and no life without its parent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field

import uvicorn

from agentfield_adapters.local.app import Routes
from agentfield_adapters.local.faults.fault import Fault
from agentfield_adapters.local.faults.wire import HttpWire, WebSocketWire
from agentfield_adapters.local.instrument.log import Log
from agentfield_adapters.local.instrument.setups import Setups
from agentfield_adapters.local.provider import Provider
from agentfield_adapters.local.scenario.scenario import Scenario

EXIT_OK, EXIT_USAGE = 0, 2
SHUTDOWN_S_MAX = 3
FRAME_BYTES_MAX = 24 * 1024 * 1024  # 15 MiB of audio in base64, with room


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    options: ProviderOptions | None = None,
    exit_with_parent: bool = False,
) -> int:
    """Run the provider until it is told to stop (SIGINT, SIGTERM).

    When it is ready it prints one line of JSON on stdout: `{"url": "http://127.0.0.1:PORT", "pid": …}`,
    with the `admin_token` if there is an admin endpoint.

    Args:
        host: Address to listen on.
        port: 0 takes a free one.
        options: What it answers with; without them, as always.
        exit_with_parent: End when standard input does, so that a parent that is killed leaves no provider.

    Returns:
        The exit code: 0, or 2 when the address cannot be used.
    """
    try:
        listening = _listen(host, port)
    except OSError as error:
        reason = error.strerror or error
        sys.stderr.write(f"Cannot listen on {host}:{port}: {reason}. Give another --port, or 0 for any.\n")
        return EXIT_USAGE
    options = options or ProviderOptions()
    seed = secrets.randbits(32) if options.seed is None else options.seed
    setups = Setups(seed, dict(options.scenarios), options.faults)
    routes = Routes(
        Provider(), setups, log=options.log, api_key=options.api_key, admin_token=options.admin_token
    )
    config = uvicorn.Config(
        routes.app(),
        log_level="warning",
        access_log=False,
        http=HttpWire,
        ws=WebSocketWire,
        ws_max_size=FRAME_BYTES_MAX,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=SHUTDOWN_S_MAX,
    )
    server = _Server(config, ready=lambda: _announce(listening, options.admin_token))
    if exit_with_parent:
        threading.Thread(target=_stop_at_end_of_input, args=[server], name="parent", daemon=True).start()
    asyncio.run(server.serve(sockets=[listening]))
    return EXIT_OK


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """What a provider answers with, whom it lets in, what it breaks and what it keeps.

    Attributes:
        seed: Of all ids; without one they differ from run to run.
        api_key: The only bearer that is let in; without one any is.
        scenarios: By name; the first is every call's.
        faults: Of every call that names none.
        log: Keeps what came in and went out.
        admin_token: The bearer of the admin endpoint; without one there is none.
    """

    seed: int | None = None
    api_key: str | None = None
    scenarios: Mapping[str, Scenario] = field(default_factory=dict[str, Scenario])
    faults: Sequence[Fault] = ()
    log: Log | None = None
    admin_token: str | None = None


class _Server(uvicorn.Server):
    """Says when it is ready, and ends without an error when it is told to."""

    def __init__(self, config: uvicorn.Config, *, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        kept = {name: signal.signal(name, self.handle_exit) for name in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for name, handler in kept.items():
                signal.signal(name, handler)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's delay (40 ms) off only for sockets that say they are TCP.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening


def _announce(listening: socket.socket, admin_token: str | None) -> None:
    host, port = listening.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    ready: dict[str, object] = {"url": url, "pid": os.getpid()}
    if admin_token is not None:
        ready["admin_token"] = admin_token
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()


def _stop_at_end_of_input(server: uvicorn.Server) -> None:
    # Not sys.stdin: its lock, held by a daemon thread, would abort the interpreter's shutdown.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    server.should_exit = True
