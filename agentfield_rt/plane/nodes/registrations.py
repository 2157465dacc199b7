"""Registrations that outlive the process: queued work finds its node again after a kill.

Each is a run of its own, open while the registration stands, and sealed when a newer one takes its place or
the node is removed. One run for all nodes would never be sealed and would be read whole at every start, of
however many processes; of these, a start reads the few that are open. What a node says of itself is content,
kept until its registration is over.
"""

import logging
import time
from dataclasses import dataclass, replace

from agentfield_journal import ContentStore, JournalError, Retention
from agentfield_rt.core import records
from agentfield_rt.core.records import NodeApproval
from agentfield_rt.errors import RealtimeError
from agentfield_rt.plane.catalogue.catalogue import Catalogue
from agentfield_rt.plane.nodes.registration import Registration
from agentfield_rt.plane.notation import is_node_run, new_node_run_id
from agentfield_rt.plane.runs import Runs
from agentfield_rt.run import Context, Run, decode

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A registration that stands.

    Attributes:
        registered_at: Seconds since 1970.
    """

    run_id: str
    registration: Registration
    approval: NodeApproval
    registered_at: float


class Registrations:
    """Keeps what stands, in the journal and the content store."""

    def __init__(self, runs: Runs, content: ContentStore, catalogue: Catalogue) -> None:
        self._runs = runs
        self._content = content
        self._catalogue = catalogue
        self._open: dict[str, Run] = {}

    async def restore(self) -> list[Standing]:
        """What stood when the last process ended; to be called once.

        A registration that cannot be read is logged and passed over: its node registers again by itself.
        """
        found: dict[str, Standing] = {}
        for row in reversed(await self._catalogue.open_runs()):  # the newest first
            if not is_node_run(row.run_id):
                continue
            self._open[row.run_id] = await self._runs.hold(row.run_id)
            standing = await self._read(row.run_id)
            if standing is None or standing.registration.id in found:  # a crash came between it and the next
                await self.end(row.run_id)
            else:
                found[standing.registration.id] = standing
        return list(found.values())

    async def _read(self, run_id: str) -> Standing | None:
        standing: Standing | None = None
        try:
            for envelope in await self._runs.journal.read(run_id):
                match decode(envelope):
                    case records.NodeRegistered(registration_ref=ref, approval=approval):
                        registration = Registration.model_validate_json(await self._content.get(ref))
                        standing = Standing(
                            run_id=run_id,
                            registration=registration,
                            approval=approval,
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

    async def add(self, registration: Registration, *, approval: NodeApproval) -> Standing:
        """A registration begins to stand; it is durable when this returns.

        Raises:
            JournalError: it could not be written; nothing stands.
        """
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
                ),
                registration.id,
            )
        except BaseException:
            await self.end(run_id)
            raise
        return Standing(
            run_id=run_id, registration=registration, approval=approval, registered_at=time.time()
        )

    async def decide(self, standing: Standing, approval: NodeApproval, *, decider: str | None) -> Standing:
        """An operator approved or denied the node; durable when this returns."""
        ref = None
        if decider is not None:
            ref = self._content.put(decider.encode(), subject=standing.run_id, retention=Retention.DURABLE)
            await self._content.durable(ref)
        node_id = standing.registration.id
        decided = records.NodeDecided(node_id=node_id, approval=approval, decider_ref=ref)
        await self._write(self._open[standing.run_id], decided, node_id)
        return replace(standing, approval=approval)

    async def end(self, run_id: str) -> None:
        """A registration stands no more; what the node said of itself is erased."""
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
