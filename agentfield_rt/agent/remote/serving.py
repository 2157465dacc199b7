"""Serves an agent at a plane elsewhere: as a program of its own, or in a loop that is there already."""

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from agentfield_rt.agent.remote.connection import Connection
from agentfield_rt.agent.remote_memory import reached_memory
from agentfield_rt.channel.wire import Dialer, ServerRefused, installed_dialer
from agentfield_rt.config import Settings
from agentfield_rt.errors import RealtimeError
from agentfield_rt.logs import configure_logs

if TYPE_CHECKING:
    from agentfield_rt.agent.agent import Agent

LEAVE_WITHIN_S = 10.0
"""What is under way when an agent is told to stop may end by itself within this time."""

REFUSED_EXIT_CODE = 3
"""What `af` ends with, too, when a server does not let it in."""


@contextlib.asynccontextmanager
async def connected(
    agent: "Agent", *, dialer: Dialer | None = None, leave_within_s: float = LEAVE_WITHIN_S
) -> AsyncGenerator[Connection]:
    """The agent is connected while the block runs; at the end it leaves.

    Raises:
        RealtimeError: it has no server, the server refuses it, or nothing here can connect.
    """
    server = agent.server
    if server is None:
        raise RealtimeError(f"agent {agent.node_id} has no server; AGENTFIELD_SERVER says which")
    connection = Connection(agent, server, api_key=agent.api_key, dialer=dialer or installed_dialer())
    running = asyncio.create_task(connection.run(), name=f"agent {agent.node_id}")
    welcomed = asyncio.create_task(connection.welcomed.wait())
    try:
        await asyncio.wait((running, welcomed), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
        agent.bind(connection.executor, noter=connection.note)
        watching = asyncio.current_task()
        assert watching is not None
        running.add_done_callback(lambda task: task.cancelled() or watching.cancel())
        async with (
            reached_memory(server, api_key=agent.api_key) as memory,
            agent.memory.connection.connected(memory),
        ):
            yield connection
            await connection.leave(within_s=leave_within_s)
    finally:
        welcomed.cancel()
        running.cancel()
        await asyncio.wait((running, welcomed))
        if not running.cancelled() and (error := running.exception()) is not None:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                task.uncancel()  # that was us
            raise error


def serve_connected(agent: "Agent") -> None:
    """Serve until Ctrl-C or SIGTERM; what is under way may end first, unless a second one comes.

    Raises:
        SystemExit: the server refuses the agent. It was said on stderr: whoever started this program is at
            fault, to whom a traceback says nothing.
        RealtimeError: it has no server, or nothing here can connect.
    """
    configure_logs(Settings())
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(agent))
    except ServerRefused as error:
        print(error, file=sys.stderr)  # noqa: T201
        raise SystemExit(REFUSED_EXIT_CODE) from None


async def _serve(agent: "Agent") -> None:
    stopped, reached = asyncio.Event(), asyncio.Event()
    serving, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert serving is not None
    told = (signal.SIGINT, signal.SIGTERM)

    def stop() -> None:
        stopped.set()
        for name in told:  # who asks twice does not wait for a handler that ignores its cancellation
            loop.remove_signal_handler(name)
            signal.signal(name, signal.SIG_DFL)
        if not reached.is_set():  # nothing is under way, and the server may never be there
            serving.cancel()

    if threading.current_thread() is threading.main_thread():
        for name in told:
            loop.add_signal_handler(name, stop)
    try:
        async with connected(agent):
            reached.set()
            print(f"Agent {agent.node_id} is connected to {agent.server} (Ctrl-C ends it)", flush=True)  # noqa: T201
            await stopped.wait()
    except asyncio.CancelledError:
        if not stopped.is_set():
            raise
