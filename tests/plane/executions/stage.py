"""Executions over a journal in memory that outlives the plane; a node elsewhere that does as it is told."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from agentfield_journal import JournalUnavailable, QueuedContentStore, StoreJournal, codec
from agentfield_journal.content.port import Content
from agentfield_journal.content.store import MemoryContent
from agentfield_journal.envelope import Envelope
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.stores.port import Batch, Claim
from agentfield_rt import Agent
from agentfield_rt.core.completion import SEALS
from agentfield_rt.plane.catalogue.rows import ExecutionRow
from agentfield_rt.plane.executions.dispatch import (
    CapabilityKind,
    Dispatch,
    Dispatcher,
    DispatchInDoubt,
    NodeUnreachable,
    Outcome,
)
from agentfield_rt.plane.executions.executions import Executions
from agentfield_rt.plane.executions.fold import fold_executions
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.plane.nodes import Capability, Lifecycle, Node, Nodes
from agentfield_rt.plane.nodes.in_process import in_process_node
from agentfield_rt.plane.runs import Runs
from agentfield_rt.plane.upkeep.left_runs import end_left_runs
from agentfield_rt.ports import Clock, system_clock
from agentfield_rt.testing.virtual_time import VirtualTimeLoop
from agentfield_rt.voice.link import ExecutionRequest

DONE = Outcome(status=ExecutionStatus.SUCCEEDED, result={"done": True})


class Killed(JournalUnavailable):
    """The process that wrote is gone."""


class MortalStore(MemoryStore):
    """Keeps what was stored when the process that writes is killed, and takes nothing from it any more."""

    def __init__(self) -> None:
        super().__init__()
        self.is_dead = False

    def claim(self, run_id: str) -> Claim:
        self._require_alive()
        return super().claim(run_id)

    def commit(self, batches: list[Batch], /) -> list[Batch]:
        self._require_alive()
        return super().commit(batches)

    def _require_alive(self) -> None:
        if self.is_dead:
            raise Killed("killed")

    def close(self) -> None:
        """Whatever was stored stays."""


class MortalContent(MemoryContent):
    """As `MortalStore`."""

    def __init__(self) -> None:
        super().__init__()
        self.is_dead = False

    def commit(self, group: list[Content], /) -> list[Content]:
        if self.is_dead:
            raise Killed("killed")
        return super().commit(group)

    def close(self) -> None:
        """Whatever was stored stays."""


@dataclass
class Elsewhere:
    """A node in another process: takes work as `acts` say, one after the other, and then accepts.

    Attributes:
        acts: `accept`, `answer`, `unreachable`, `lost` (it did not get it), `begun` (it did, and the answer
            was lost), `hold` (no answer until `go_on`).
        attempts: What it was given, in order, whatever it made of it.
        working: What it has begun and not reported.
        seen: Told of each attempt before anything comes of it.
    """

    remote: bool = True
    acts: deque[str] = field(default_factory=deque[str])
    attempts: list[Dispatch] = field(default_factory=list[Dispatch])
    working: dict[str, Dispatch] = field(default_factory=dict[str, Dispatch])
    cancelled: list[str] = field(default_factory=list[str])
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    seen: Callable[[Dispatch], None] = lambda work: None

    async def dispatch(self, work: Dispatch) -> Outcome | None:
        self.attempts.append(work)
        self.seen(work)
        act = self.acts.popleft() if self.acts else "accept"
        if act == "hold":
            await self.go_on.wait()
        match act:
            case "unreachable":
                raise NodeUnreachable("nobody listens")
            case "lost":
                raise DispatchInDoubt("the line broke")
            case "begun":
                self.working[work.execution_id] = work
                raise DispatchInDoubt("the line broke")
            case "answer":
                return DONE
            case _:
                self.working[work.execution_id] = work
                return None

    async def cancel(self, execution_id: str) -> None:
        self.cancelled.append(execution_id)
        self.working.pop(execution_id, None)

    def ids(self) -> list[str]:
        """Of the attempts."""
        return [work.execution_id for work in self.attempts]


class Stage:
    """What lasts: journal, content, the node elsewhere. And one plane after the other over them."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self.store, self.content = MortalStore(), MortalContent()
        self.elsewhere = Elsewhere()
        self.lifecycle = Lifecycle.READY
        self._clock = clock

    async def open(self) -> None:
        """A plane starts."""
        self.store.is_dead = self.content.is_dead = False
        self.journal = StoreJournal(self.store)
        self.contents = QueuedContentStore(self.content)
        self.runs = Runs(self.journal, clock=self._clock)
        self.nodes = Nodes([self.node(), in_process_node(_near())])
        self.executions = Executions(self.runs, self.nodes, self.contents, rows=self)
        going_on = await end_left_runs(self.journal, await self.open_runs())
        await self.executions.recover(going_on)

    def node(self) -> Node:
        """The node elsewhere, as it is now."""
        return self.node_of(self.elsewhere)

    def node_of(self, dispatcher: Dispatcher) -> Node:
        """A node that works as the one elsewhere does, and is reached in another way."""
        return Node(
            node_id="far",
            version="1",
            instance_id="",
            base_url=None,
            capabilities={"work": Capability(name="work", kind=CapabilityKind.REASONER)},
            sessions={},
            dispatcher=dispatcher,
            handlers=None,
            lifecycle=self.lifecycle,
        )

    def becomes(self, lifecycle: Lifecycle) -> None:
        """The node elsewhere is heard of, or not any more."""
        self.lifecycle = lifecycle
        self.nodes.replace(self.node())

    async def close(self) -> None:
        """The plane ends as it should."""
        await self.executions.close()
        await self.journal.close()
        await self.contents.close()

    def kill(self) -> None:
        """It ends at once: nothing that it still does is stored."""
        self.store.is_dead = self.content.is_dead = True
        executions: Any = self.executions
        carriers = executions._carriers
        carriers._closed = True
        for lane in carriers._lanes.values():
            lane.close()

    async def open_runs(self) -> list[str]:
        """Runs without a last record."""
        return [run_id for run_id in self.store.run_ids() if self.kinds(run_id)[-1] not in SEALS]

    def kinds(self, run_id: str) -> list[str]:
        """What is durable of a run."""
        return [envelope.kind for envelope in self.envelopes(run_id)]

    def envelopes(self, run_id: str) -> list[Envelope]:
        page = self.store.page(run_id, 0, 100_000)
        return codec.check(run_id, 0, page.prev_hash, page.rows)

    async def execution(self, execution_id: str) -> ExecutionRow | None:
        """What the catalogue does, the long way."""
        for run_id in self.store.run_ids():
            found = fold_executions(self.envelopes(run_id)).get(execution_id)
            if found is not None:
                return ExecutionRow(
                    execution_id=execution_id,
                    run_id=run_id,
                    seq=1,
                    node_id=found.node_id,
                    name=found.name,
                    status=found.status.value,
                    reason=found.reason,
                    is_remote=found.remote,
                    input_ref=found.input_ref,
                    result_ref=found.result_ref,
                    error_ref=found.error_ref,
                    error_details_ref=found.error_details_ref,
                    queued_at_ns=int(found.created_at * 1e9),
                    ended_at_ns=None if found.completed_at is None else int(found.completed_at * 1e9),
                )
        return None


@cache
def _near() -> Agent:
    near = Agent("near")

    @near.reasoner()
    async def waits() -> None:
        await asyncio.Event().wait()

    return near


def work(run_id: str | None = None, parent: str | None = None, **arguments: Any) -> ExecutionRequest:
    """Something for the node elsewhere."""
    return ExecutionRequest(target="far.work", arguments=arguments, run_id=run_id, parent_execution_id=parent)


@asynccontextmanager
async def stage() -> AsyncGenerator[Stage]:
    """A stage in virtual time, with its first plane open."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    it = Stage(loop.time_ns)
    await it.open()
    try:
        yield it
    finally:
        await it.close()
