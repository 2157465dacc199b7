"""One process of a node, at the end of a channel: its wire may break, it is gone when its lease runs out."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

from agentfield_rt.channel.delivery import ChannelFull
from agentfield_rt.channel.end import ChannelEnd
from agentfield_rt.channel.frame import frames_to_plane
from agentfield_rt.channel.message import Message
from agentfield_rt.channel.to_plane import (
    Call,
    CancelRequest,
    Follow,
    Hello,
    Leaving,
    Note,
    Outcome,
    ToPlane,
)
from agentfield_rt.channel.wire import Wire, WireSilent
from agentfield_rt.logs import REQUEST_ID
from agentfield_rt.plane.channel.engine import Engine
from agentfield_rt.plane.channel.given import GivenExecutions
from agentfield_rt.plane.channel.leases import Leases
from agentfield_rt.plane.channel.parcels import Parcels
from agentfield_rt.plane.channel.running import HandlerRun
from agentfield_rt.plane.channel.workflow import Workflow
from agentfield_rt.voice.link import SessionLink

log = logging.getLogger(__name__)

UNDER_WAY_MAX = 256
"""Reports and notes of one instance that are being written down at once; then its wire is not read."""


class Instance:
    """One of the processes of a node.

    Args:
        leases: How long it may be silent.
        engine: Runs what it calls.
        changed: Is told when it can take work, cannot any more, or has room again.

    Attributes:
        channel_id: What it says when it comes back on another wire.
        given: The executions whose outcome it has not told.
        is_connected: There is a wire to it now.
        is_leaving: It takes nothing new.
        is_gone: It is not heard any more, whatever it may still do.
    """

    def __init__(
        self, node_id: str, hello: Hello, *, leases: Leases, engine: Engine, changed: Callable[[], None]
    ) -> None:
        self.node_id = node_id
        self.instance_id = hello.instance_id
        self.channel_id = f"chan_{secrets.token_hex(16)}"
        self.executions_max = hello.executions_max
        self.is_connected = self.is_leaving = self.is_gone = False
        self.end = ChannelEnd[ToPlane](frames_to_plane, self._take, room=self._has_time)
        self._workflow = Workflow(node_id, engine, self.post)
        self._changed = changed
        self._runs: dict[str, HandlerRun] = {}
        self._parcels = Parcels(self.end.post)
        self._leases = leases
        self._wiring: asyncio.Task[None] | None = None
        self._attaching = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._room.set()
        self.given = GivenExecutions(
            self.end, self._workflow, post=self.post, spawn=self._spawn, changed=changed
        )
        self.given.bring(hello.running)
        self._lease: asyncio.TimerHandle | None = None
        self._count_lease()  # its wire may be lost before it is welcomed

    @property
    def sessions(self) -> int:
        """Handlers that run there."""
        return len(self._runs)

    @property
    def has_room(self) -> bool:
        """Whether it takes another execution now."""
        return self.takes_work and len(self.given) < self.executions_max

    @property
    def takes_work(self) -> bool:
        return self.is_connected and not self.is_leaving

    def post(self, message: Message) -> None:
        """Send a message, now or when it is back.

        An instance that has received so little that it does not fit is given up: it relies on every message.

        Raises:
            MessageTooLarge, TypeError, ValueError: see `ChannelEnd.post`.
        """
        try:
            self.end.post(message)
        except ChannelFull as full:
            log.warning("agent %s is given up: %s", self.node_id, full)
            self.lose()

    # Wires.

    async def attach(self, wire: Wire, *, received: int) -> None:
        """Talk over `wire` until it breaks. A wire it had before is given up.

        Raises:
            WireLost, ProtocolBroken: how it broke.
        """
        async with self._attaching:
            await self._detach()
            if self.is_gone:
                return
            wiring = self._wiring = self._carry(wire, received)
        self._stop_lease()
        self.is_connected = True
        self._changed()
        try:
            await asyncio.wait([wiring])
        finally:
            if self._wiring is wiring:
                await self._detach()
        if not wiring.cancelled() and (error := wiring.exception()) is not None:
            raise error

    def _carry(self, wire: Wire, received: int) -> asyncio.Task[None]:
        """What comes over a wire that lasts for days was not asked for by the request that opened it."""
        of_nobody = copy_context()
        of_nobody.run(REQUEST_ID.set, None)
        leases = self._leases
        carrying = self.end.run(
            wire, received=received, keep_alive_s=leases.keep_alive_s, lease_s=leases.lease_s
        )
        return asyncio.create_task(carrying, name=f"channel {self.node_id}", context=of_nobody)

    async def _detach(self) -> None:
        """The wire is no longer ours from here on, before anything is waited for: another may come."""
        wiring, self._wiring = self._wiring, None
        if wiring is None:
            return
        self.is_connected = False
        if _was_silent(wiring) or self.is_leaving or self.end.is_stuck:
            self.lose()
        elif not self.is_gone:
            self._count_lease()
        self._changed()
        wiring.cancel()
        await asyncio.wait([wiring])

    def _count_lease(self) -> None:
        self._lease = asyncio.get_running_loop().call_later(self._leases.lease_s, self.lose)

    def _stop_lease(self) -> None:
        if self._lease is not None:
            self._lease.cancel()
            self._lease = None

    def lose(self) -> None:
        """Its lease has run out, or it said goodbye: what it was doing fails, or is done elsewhere."""
        if not self.is_gone:
            self.given.lose()
            self._give_up()

    def _give_up(self) -> None:
        self.is_gone, self.is_connected = True, False
        self._stop_lease()
        if self._wiring is not None:
            self._wiring.cancel()
        for run in tuple(self._runs.values()):
            run.lose()
        self._parcels.lose()
        self.given.close()
        self._workflow.leave()
        self._changed()

    # Work.

    async def handle(self, session_name: str, link: SessionLink) -> None:
        """Run a session's handler there to its end; see `HandlerRun.run`."""
        run = HandlerRun(f"hand_{secrets.token_hex(8)}", link, self.post, parcels=self._parcels)
        self._runs[run.handler_id] = run
        if self.is_gone:
            run.lose()
        try:
            await run.run(session_name)
        finally:
            del self._runs[run.handler_id]

    # What it says.

    async def _has_time(self) -> None:
        """Return when more may come: what it reports is written down no faster than the journal takes it."""
        await self._room.wait()

    def _take(self, message: ToPlane) -> None:
        match message:
            case Outcome():
                self.given.end(message)
            case Note():
                context = self.given.context_of(message.execution_id)
                context.run(self._spawn, self._workflow.note(message), "note")
            case Follow():
                self._workflow.follow(message)
            case Leaving():
                self.is_leaving = True
                self._changed()
            case Hello():
                log.warning("agent %s said hello twice on one wire", self.node_id)
            case Call(handler_id=None):
                context = self.given.context_of(message.place.parent_execution_id)
                context.run(self._workflow.call, message)
            case CancelRequest(handler_id=None):
                self._workflow.cancel(message)
            case _:
                run = self._runs.get(message.handler_id or "")
                if run is not None:  # otherwise it is over, and the agent will hear of it
                    run.take(message)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        if len(self._tasks) >= UNDER_WAY_MAX:
            self._room.clear()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if len(self._tasks) < UNDER_WAY_MAX:
            self._room.set()

    async def close(self) -> None:
        """The plane stops, and the wire ends. What the agent is doing, it tells the next plane of."""
        if not self.is_gone:
            self._give_up()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


def _was_silent(wiring: asyncio.Task[None]) -> bool:
    return wiring.done() and not wiring.cancelled() and isinstance(wiring.exception(), WireSilent)
