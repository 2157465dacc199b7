"""The agents that are connected by channel: who they are, who of them does what next."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from agentfield_rt.channel.delivery import UNRECEIVED_MAX
from agentfield_rt.channel.frame import encode_frame, encode_message
from agentfield_rt.channel.to_agent import Welcome
from agentfield_rt.channel.to_plane import Hello
from agentfield_rt.channel.wire import Wire
from agentfield_rt.plane.channel.engine import Engine
from agentfield_rt.plane.channel.instance import Instance
from agentfield_rt.plane.channel.leases import Leases
from agentfield_rt.plane.channel.running import InstanceGone
from agentfield_rt.plane.channel.workflow import report_lost
from agentfield_rt.plane.errors import Busy
from agentfield_rt.plane.executions.dispatch import Dispatch, NodeUnreachable, Outcome
from agentfield_rt.plane.nodes import Lifecycle, Node, Nodes
from agentfield_rt.voice.link import Handler, HandlerLost, SessionLink

log = logging.getLogger(__name__)

INSTANCES_MAX = 1_000

Register = Callable[[Hello, "ChannelNode"], Awaitable[Node]]
"""Makes a node of what an agent says of itself."""


class Fleet:
    """All instances of all nodes.

    Args:
        register: Refuses what an agent may not say of itself.
    """

    def __init__(self, nodes: Nodes, engine: Engine, *, register: Register, leases: Leases) -> None:
        self._nodes = nodes
        self._engine = engine
        self._register = register
        self._leases = leases
        self._by_channel: dict[str, Instance] = {}
        self._channel_nodes: dict[str, ChannelNode] = {}
        self._letting_in = asyncio.Lock()
        self._is_closed = False
        self._lease: asyncio.TimerHandle | None = None
        self._losing = set[asyncio.Task[None]]()

    def __len__(self) -> int:
        """Instances that are connected, or may come back."""
        return len(self._by_channel)

    def expect(self, node_id: str) -> "ChannelNode":
        """How a node will be reached of which no instance is connected yet."""
        return self._channel_nodes.setdefault(node_id, ChannelNode(node_id, self._leases))

    def count_lease(self) -> None:
        """The plane can be reached from now on: what an earlier one gave to processes that died is lost."""
        self._lease = asyncio.get_running_loop().call_later(self._leases.lease_s, self._lose_unclaimed)

    def _lose_unclaimed(self) -> None:
        for channel_node in self._channel_nodes.values():
            for execution_id in self._engine.begun_at(channel_node.node_id):
                if not any(execution_id in instance.given for instance in channel_node.instances):
                    lost = report_lost(self._engine, channel_node.node_id, execution_id)
                    task = asyncio.create_task(lost, name=f"lost {execution_id}")
                    self._losing.add(task)
                    task.add_done_callback(self._losing.discard)

    async def connect(self, hello: Hello, wire: Wire) -> None:
        """Welcome an agent and talk to it until the wire breaks.

        Raises:
            PlaneError: it is not let in; nothing was said to it.
            WireLost, ProtocolBroken: how the wire ended.
        """
        async with self._letting_in:  # two instances of a new node are two of one `ChannelNode`
            instance = self._known(hello)
            resumed = instance is not None
            if instance is None:
                instance = await self._new(hello)
            elif not self._is_reached(instance.node_id):  # it was forgotten, or replaced, while it was away
                await self._let_in(hello)
        welcome = Welcome(
            channel_id=instance.channel_id,
            resumed=resumed,
            received=instance.end.received,
            keep_alive_s=self._leases.keep_alive_s,
            lease_s=self._leases.lease_s,
            unreceived_max=UNRECEIVED_MAX,
        )
        await wire.send(encode_frame(encode_message(welcome)))
        await instance.attach(wire, received=hello.received if resumed else 0)

    def _known(self, hello: Hello) -> Instance | None:
        """Whose channel goes on: that of the same process, if what it has not received is still here."""
        instance = self._by_channel.get(hello.channel_id or "")
        if instance is None or not instance.end.can_resume(hello.received):
            return None
        is_same = (instance.node_id, instance.instance_id) == (_node_id(hello), hello.instance_id)
        return instance if is_same else None

    async def _new(self, hello: Hello) -> Instance:
        if self._is_closed:
            raise Busy("this server stops; another one will take the agent")
        if len(self._by_channel) >= INSTANCES_MAX:
            raise Busy(f"{INSTANCES_MAX} agents are connected, which is the limit; try again later")
        channel_node = await self._let_in(hello)
        for former in channel_node.instances:
            if former.instance_id == hello.instance_id:
                former.given.hand_over(hello.running)
        instance = Instance(
            channel_node.node_id,
            hello,
            leases=self._leases,
            engine=self._engine,
            changed=lambda: self._changed(channel_node, instance),
        )
        self._by_channel[instance.channel_id] = instance
        channel_node.instances.append(instance)
        return instance

    async def _let_in(self, hello: Hello) -> "ChannelNode":
        node_id = _node_id(hello)
        channel_node = self._channel_nodes.get(node_id) or ChannelNode(node_id, self._leases)
        node = await self._register(hello, channel_node)
        self._channel_nodes[node_id] = channel_node
        is_ready = channel_node.lifecycle is Lifecycle.READY
        self._nodes.replace(node if is_ready else replace(node, lifecycle=Lifecycle.STARTING))
        return channel_node

    def _is_reached(self, node_id: str) -> bool:
        node = self._nodes.find(node_id)
        return node is not None and node.dispatcher is self._channel_nodes.get(node_id)

    def _changed(self, channel_node: "ChannelNode", instance: Instance) -> None:
        if instance.is_gone and instance in channel_node.instances:
            channel_node.instances.remove(instance)
            self._by_channel.pop(instance.channel_id, None)
        channel_node.tell()
        node = self._nodes.find(channel_node.node_id)
        if node is None or node.dispatcher is not channel_node:
            return
        lifecycle = channel_node.lifecycle
        if lifecycle is not node.lifecycle and node.lifecycle is not Lifecycle.PENDING_APPROVAL:
            self._nodes.replace(replace(node, lifecycle=lifecycle))

    async def close(self) -> None:
        """The plane stops. Agents come back to the next one."""
        self._is_closed = True
        if self._lease is not None:
            self._lease.cancel()
        async with self._letting_in:  # whoever is being let in is told, too
            instances = tuple(self._by_channel.values())
        await asyncio.gather(*(instance.close() for instance in instances), *self._losing)


def _node_id(hello: Hello) -> str:
    return str(hello.registration.get("id", ""))


class ChannelNode:
    """A node's instances; satisfies `Dispatcher` and `SessionHandlers`."""

    remote = True

    def __init__(self, node_id: str, leases: Leases) -> None:
        self.node_id = node_id
        self.instances: list[Instance] = []
        self._leases = leases
        self._changed = asyncio.Event()
        self._waiting = set[str]()

    @property
    def lifecycle(self) -> Lifecycle:
        """Ready while one of them can be given work."""
        ready = any(instance.takes_work for instance in self.instances)
        return Lifecycle.READY if ready else Lifecycle.OFFLINE

    def tell(self) -> None:
        """One of them came, went, or has room again."""
        self._changed.set()
        self._changed = asyncio.Event()

    # Executions.

    async def dispatch(self, work: Dispatch) -> Outcome | None:
        """See `Dispatcher.dispatch`. What another execution waits for is not kept waiting by a full agent."""
        is_nested = work.parent_execution_id is not None
        self._waiting.add(work.execution_id)
        try:
            while work.execution_id in self._waiting:
                there = [instance for instance in self.instances if instance.takes_work]
                if not there:
                    raise NodeUnreachable(f"no agent {self.node_id} is connected")
                instance = min(there, key=lambda each: len(each.given))
                if instance.has_room or is_nested:
                    return await instance.given.execute(work)
                await self._changed.wait()
        finally:
            self._waiting.discard(work.execution_id)
        raise NodeUnreachable(f"{work.execution_id} was cancelled before an agent had room for it")

    async def cancel(self, execution_id: str) -> None:
        """See `Dispatcher.cancel`: whoever has it is told; one that is away when it comes back.

        One that waits for room is given to nobody.
        """
        for instance in self.instances:
            instance.given.cancel(execution_id)
        self._waiting.discard(execution_id)
        self.tell()

    # Sessions.

    def handler(self, session_name: str) -> Handler | None:
        """See `SessionHandlers.handler`."""

        async def handle(link: SessionLink) -> None:
            await self._handle(session_name, link)

        return handle

    async def _handle(self, session_name: str, link: SessionLink) -> None:
        """Run the handler at one instance; when that is gone, at another, which gets the unanswered turn.

        Raises:
            HandlerLost: there is none.
        """
        instance = await self._an_instance()
        while True:
            try:
                return await instance.handle(session_name, link)
            except InstanceGone:
                link.give_back_turn()
            another = self._free_instance()
            if another is None:
                raise HandlerLost(f"agent {self.node_id} is gone")
            instance = another
            log.info("session %s is taken over by %s", link.session_id, instance.instance_id)

    def _free_instance(self) -> Instance | None:
        there = [instance for instance in self.instances if instance.takes_work]
        return min(there, key=lambda instance: instance.sessions, default=None)

    async def _an_instance(self) -> Instance:
        """The one with the fewest sessions, as soon as there is one.

        Raises:
            HandlerLost: there is none within a lease.
        """
        try:
            async with asyncio.timeout(self._leases.lease_s):
                while (instance := self._free_instance()) is None:
                    await self._changed.wait()
                return instance
        except TimeoutError:
            raise HandlerLost(f"no agent {self.node_id} is connected") from None
