"""Registrations that outlive the process: queued work finds its node again after a kill.

Each is a run of its own, open while the registration stands, and sealed when a newer one takes its place or
the node is removed. One run for all nodes would never be sealed and would be read whole at every start, of
however many processes; of these, a start reads the few that are open. What a node says of itself is content,
kept until its registration is over.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from agentfield_journal import ContentStore, JournalError, Retention
from agentfield_rt.core import records
from agentfield_rt.core.records import NodeApproval, NodeReach
from agentfield_rt.errors import RealtimeError
from agentfield_rt.plane.catalogue.catalogue import Catalogue
from agentfield_rt.plane.errors import Busy, PlaneError
from agentfield_rt.plane.nodes.node import Node
from agentfield_rt.plane.nodes.registration import Registration
from agentfield_rt.plane.notation import is_node_run, new_node_run_id
from agentfield_rt.plane.runs import Runs
from agentfield_rt.run import Context, Run, decode

log = logging.getLogger(__name__)

NODES_MAX = 1_000
"""Registrations that stand at once, however their nodes are reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A registration that stands.

    Attributes:
        registered_at: Seconds since 1970.
    """

    run_id: str
    registration: Registration
    approval: NodeApproval
    reach: NodeReach
    registered_at: float


class Registrations:
    """Keeps what stands, one of each node, in the journal and the content store.

    Attributes:
        lock: Held by whoever decides what stands from what stood and lets its node in: a node may come over
            HTTP and by channel at once.
    """

    def __init__(self, runs: Runs, content: ContentStore, catalogue: Catalogue) -> None:
        self._runs = runs
        self._content = content
        self._catalogue = catalogue
        self._open: dict[str, Run] = {}
        self._standing: dict[str, Standing] = {}
        self.lock = asyncio.Lock()

    def find(self, node_id: str) -> Standing | None:
        """What stands of a node."""
        return self._standing.get(node_id)

    def reached(self, reach: NodeReach) -> list[Standing]:
        """What stands of the nodes that are reached in this way."""
        return [standing for standing in self._standing.values() if standing.reach is reach]

    async def restore(self) -> None:
        """Find what stood when the last process ended; to be called once.

        A registration that cannot be read is logged and passed over: its node registers again by itself.
        """
        for row in reversed(await self._catalogue.open_runs()):  # the newest first
            if not is_node_run(row.run_id):
                continue
            self._open[row.run_id] = await self._runs.hold(row.run_id)
            standing = await self._read(row.run_id)
            if standing is None or standing.registration.id in self._standing:
                await self._end(row.run_id)  # a crash came between it and the next
            else:
                self._standing[standing.registration.id] = standing

    async def nodes_of(
        self, reach: NodeReach, node_of: Callable[[Standing], Node]
    ) -> list[tuple[Standing, Node]]:
        """The nodes of what was restored, made by `node_of`; what that refuses stands no more."""
        found: list[tuple[Standing, Node]] = []
        for standing in self.reached(reach):
            try:
                found.append((standing, node_of(standing)))
            except PlaneError as error:  # taken by another version, or of an agent of this process by now
                log.warning("the registration of %s is no longer taken: %s", standing.registration.id, error)
                await self.end(standing)
        return found

    async def _read(self, run_id: str) -> Standing | None:
        standing: Standing | None = None
        try:
            for envelope in await self._runs.journal.read(run_id):
                match decode(envelope):
                    case records.NodeRegistered(registration_ref=ref, approval=approval, reach=reach):
                        registration = Registration.model_validate_json(await self._content.get(ref))
                        standing = Standing(
                            run_id=run_id,
                            registration=registration,
                            approval=approval,
                            reach=reach,
                            registered_at=envelope.at_ns / 1e9,
                        )
                    case records.NodeDecided(approval=approval) if standing is not None:
                        standing = replace(standing, approval=approval)
                    case _:
                        pass
        except (JournalError, RealtimeError, ValueError) as error:
            log.error("the registration in %s cannot be read: %s", run_id, type(error).__name__)
            return None
        return standing

    async def add(
        self, registration: Registration, *, approval: NodeApproval, reach: NodeReach = NodeReach.HTTP
    ) -> Standing:
        """A registration begins to stand in place of the node's last; it is durable when this returns.

        Raises:
            Busy: as many stand as may.
            JournalError: it could not be written; what stood before stands still.
        """
        before = self._standing.get(registration.id)
        if before is None and len(self._standing) >= NODES_MAX:
            raise Busy(f"{NODES_MAX} nodes are registered, which is the limit; remove one")
        run_id = new_node_run_id()
        ref = self._content.put(
            registration.model_dump_json().encode(), subject=run_id, retention=Retention.DURABLE
        )
        run = self._open[run_id] = await self._runs.hold(run_id)
        try:
            await self._content.durable(ref)
            await self._write(
                run,
                records.NodeRegistered(
                    node_id=registration.id,
                    instance_id=registration.instance_id,
                    registration_ref=ref,
                    approval=approval,
                    reach=reach,
                ),
                registration.id,
            )
        except BaseException:
            await self._end(run_id)
            raise
        standing = self._standing[registration.id] = Standing(
            run_id=run_id,
            registration=registration,
            approval=approval,
            reach=reach,
            registered_at=time.time(),
        )
        if before is not None:
            await self._end(before.run_id)
        return standing

    async def decide(self, standing: Standing, approval: NodeApproval, *, decider: str | None) -> Standing:
        """An operator approved or denied the node; durable when this returns."""
        ref = None
        if decider is not None:
            ref = self._content.put(decider.encode(), subject=standing.run_id, retention=Retention.DURABLE)
            await self._content.durable(ref)
        node_id = standing.registration.id
        decided = records.NodeDecided(node_id=node_id, approval=approval, decider_ref=ref)
        await self._write(self._open[standing.run_id], decided, node_id)
        decision = self._standing[node_id] = replace(standing, approval=approval)
        return decision

    async def end(self, standing: Standing) -> None:
        """A registration stands no more; what the node said of itself is erased."""
        now = self._standing.get(standing.registration.id)
        if now is not None and now.run_id == standing.run_id:
            del self._standing[standing.registration.id]
        await self._end(standing.run_id)

    async def _end(self, run_id: str) -> None:
        if self._open.pop(run_id, None) is None:
            return
        self._runs.cancel(run_id)
        try:
            await self._runs.let_go(run_id)
            await self._content.erase(run_id)
        except JournalError as error:
            log.error("run %s could not be ended: %s", run_id, type(error).__name__)

    async def close(self) -> None:
        """Give the runs up as they are; the registrations stand."""
        for run_id in list(self._open):
            del self._open[run_id]
            await self._runs.set_aside(run_id)

    async def _write(self, run: Run, record: records.Record, node_id: str) -> None:
        await run.durable(run.append([record], Context(agent_id=node_id)))
