"""One process of a node, at the end of a channel: its wire may break, it is gone when its lease runs out."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from agentfield_rt.channel.delivery import ChannelFull
from agentfield_rt.channel.end import ChannelEnd
from agentfield_rt.channel.frame import MessageTooLarge, frames_to_plane
from agentfield_rt.channel.message import Message
from agentfield_rt.channel.shapes import Place
from agentfield_rt.channel.to_agent import CancelExecution, Execute
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
from agentfield_rt.errors import Reason
from agentfield_rt.plane.channel.engine import Engine
from agentfield_rt.plane.channel.leases import Leases
from agentfield_rt.plane.channel.parcels import Parcels
from agentfield_rt.plane.channel.running import HandlerRun
from agentfield_rt.plane.channel.workflow import Workflow
from agentfield_rt.plane.executions import dispatch as executions
from agentfield_rt.plane.executions.dispatch import Dispatch, DispatchInDoubt, NodeUnreachable
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.voice.link import SessionLink

log = logging.getLogger(__name__)


class Instance:
    """One of the processes of a node.

    Args:
        leases: How long it may be silent.
        engine: Runs what it calls.
        changed: Is told when it can take work, cannot any more, or has room again.

    Attributes:
        channel_id: What it says when it comes back on another wire.
        executions: Those it was given and has not told the outcome of.
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
        self.executions: dict[str, asyncio.Future[None]] = {}
        self.is_connected = self.is_leaving = self.is_gone = False
        self.end = ChannelEnd[ToPlane](frames_to_plane, self._take)
        self._workflow = Workflow(engine, self.post)
        self._changed = changed
        self._runs: dict[str, HandlerRun] = {}
        self._parcels = Parcels(self.post)
        self._leases = leases
        self._lease: asyncio.TimerHandle | None = None
        self._wiring: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        for execution_id in hello.running:  # another plane gave it these
            received: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            received.set_result(None)
            self.executions[execution_id] = received
            self._workflow.goes_on(execution_id)

    @property
    def sessions(self) -> int:
        """Handlers that run there."""
        return len(self._runs)

    @property
    def has_room(self) -> bool:
        """Whether it takes another execution now."""
        return self.takes_work and len(self.executions) < self.executions_max

    @property
    def takes_work(self) -> bool:
        return self.is_connected and not self.is_leaving

    def post(self, message: Message) -> None:
        """Send a message, now or when it is back; see `ChannelEnd.post`."""
        self.end.post(message)

    # Wires.

    async def attach(self, wire: Wire, *, received: int) -> None:
        """Talk over `wire` until it breaks. A wire it had before is given up."""
        await self._detach()
        leases = self._leases
        carrying = self.end.run(
            wire, received=received, keep_alive_s=leases.keep_alive_s, lease_s=leases.lease_s
        )
        wiring = self._wiring = asyncio.create_task(carrying, name=f"channel {self.node_id}")
        if self._lease is not None:
            self._lease.cancel()
        self.is_connected = True
        self._changed()
        try:
            await asyncio.wait([wiring])
        finally:
            if self._wiring is wiring:
                await self._detach()
                self._count_lease(wiring)
        if not wiring.cancelled() and (error := wiring.exception()) is not None:
            raise error

    def _count_lease(self, wiring: asyncio.Task[None]) -> None:
        was_silent = not wiring.cancelled() and isinstance(wiring.exception(), WireSilent)
        if was_silent or self.is_leaving:
            self.lose()
        elif not self.is_gone:
            self._lease = asyncio.get_running_loop().call_later(self._leases.lease_s, self.lose)

    async def _detach(self) -> None:
        wiring, self._wiring = self._wiring, None
        if wiring is not None:
            self.is_connected = False
            self._changed()
            wiring.cancel()
            await asyncio.wait([wiring])

    def lose(self) -> None:
        """Its lease has run out, or it said goodbye: what it was doing fails, or is done elsewhere."""
        if not self.is_gone:
            for execution_id, received in self.executions.items():
                if received.done():
                    self._spawn(self._workflow.lost(execution_id), f"lost {execution_id}")
            self._give_up()

    def _give_up(self) -> None:
        self.is_gone, self.is_connected = True, False
        if self._lease is not None:
            self._lease.cancel()
        if self._wiring is not None:
            self._wiring.cancel()
        for run in tuple(self._runs.values()):
            run.lose()
        self._parcels.lose()
        for received in self.executions.values():
            received.cancel()
        self.executions.clear()
        self._workflow.leave()
        self._changed()

    # Work.

    async def execute(self, work: Dispatch) -> executions.Outcome | None:
        """Hand an execution over; returns None when the agent has it, and will report.

        Raises:
            NodeUnreachable: it has not got it.
            DispatchInDoubt: it may have got it, and is gone.
        """
        message = Execute(
            execution_id=work.execution_id,
            name=work.name,
            kind=work.kind.value,
            arguments=dict(work.arguments),
            place=Place(
                run_id=work.run_id,
                session_id=work.session_id,
                turn_id=work.turn_id,
                actor_id=work.actor_id,
                parent_execution_id=work.parent_execution_id,
            ),
        )
        try:
            seq = self.end.post(message)
        except ChannelFull as error:
            raise NodeUnreachable(str(error)) from error
        except MessageTooLarge as error:
            return executions.Outcome(
                status=ExecutionStatus.FAILED, reason=Reason.INVALID_REQUEST, error=str(error)
            )
        receipt = asyncio.ensure_future(self.end.receipt(seq))
        self.executions[work.execution_id] = receipt
        try:
            await asyncio.wait([receipt])
        except asyncio.CancelledError:
            self._forget(work.execution_id)
            receipt.cancel()
            raise
        if receipt.cancelled():
            if self.end.was_sent(seq):
                raise DispatchInDoubt("the agent is gone, and may have begun")
            raise NodeUnreachable("the agent is gone, and has not begun")
        return None

    def _forget(self, execution_id: str) -> None:
        if self.executions.pop(execution_id, None) is not None:
            self._changed()

    def cancel(self, execution_id: str) -> None:
        """Ask it to stop an execution."""
        with contextlib.suppress(ChannelFull):
            self.post(CancelExecution(execution_id=execution_id))

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

    def _take(self, message: ToPlane) -> None:
        match message:
            case Outcome():
                self._forget(message.execution_id)
                self._spawn(self._workflow.report(message), f"report {message.execution_id}")
            case Note():
                self._spawn(self._workflow.note(message), "note")
            case Follow():
                self._workflow.follow(message)
            case Leaving():
                self.is_leaving = True
                self._changed()
            case Hello():
                log.warning("agent %s said hello twice on one wire", self.node_id)
            case CancelRequest(handler_id=None) | Call(handler_id=None):
                self._workflow.take(message)
            case _:
                run = self._runs.get(message.handler_id or "")
                if run is not None:  # otherwise it is over, and the agent will hear of it
                    run.take(message)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """The plane stops, and the wire ends. What the agent is doing, it tells the next plane of."""
        if not self.is_gone:
            self._give_up()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
