"""Registrations in the journal: what stands after a crash, and what is erased when one is over."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentfield_journal import ContentGone, QueuedContentStore, StoreJournal
from agentfield_journal.content.store import MemoryContent
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.core.records import NodeApproval, NodeReach
from agentfield_rt.plane.catalogue.catalogue import open_catalogue
from agentfield_rt.plane.nodes.registration import Registration
from agentfield_rt.plane.nodes.registrations import Registrations, Standing
from agentfield_rt.plane.runs import Runs
from tests.nodes.agents import registration


@dataclass
class Archive:
    """A journal and its content, which processes come and go over."""

    data: Path
    journal: StoreJournal
    content: QueuedContentStore

    @asynccontextmanager
    async def process(self) -> AsyncGenerator[Registrations]:
        """A process that keeps registrations, from its start to its end."""
        async with open_catalogue(self.data / "catalogue.db", self.journal) as catalogue:
            registrations = Registrations(Runs(self.journal), self.content, catalogue)
            yield registrations
            await registrations.close()

    async def kinds(self, run_id: str) -> list[str]:
        return [envelope.kind for envelope in await self.journal.read(run_id)]

    async def refs(self, run_id: str) -> list[str]:
        return [ref for envelope in await self.journal.read(run_id) for ref in envelope.content_refs]


@asynccontextmanager
async def archive(data: Path) -> AsyncGenerator[Archive]:
    it = Archive(data, StoreJournal(MemoryStore()), QueuedContentStore(MemoryContent()))
    yield it
    await it.journal.close()
    await it.content.close()


async def add(registrations: Registrations, **members: object) -> Standing:
    body = Registration.model_validate(registration("http://127.0.0.1:9", **members))
    return await registrations.add(body, approval=NodeApproval.PENDING)


@pytest.mark.asyncio
async def test_what_stands_is_read_by_the_next_process_with_what_was_decided(tmp_path: Path) -> None:
    async with archive(tmp_path) as it:
        async with it.process() as first:
            standing = await add(first, version="3.0.0")
            await first.decide(standing, NodeApproval.APPROVED, decider="ada")
        async with it.process() as second:
            await second.restore()
            (found,) = second.reached(NodeReach.HTTP)
            assert (found.registration.version, found.approval) == ("3.0.0", NodeApproval.APPROVED)
            assert found.registered_at == pytest.approx(standing.registered_at, abs=5)
        assert await it.kinds(standing.run_id) == ["node_registered", "node_decided"]


@pytest.mark.asyncio
async def test_of_two_that_a_crash_left_the_newer_one_stands(tmp_path: Path) -> None:
    async with archive(tmp_path) as it:
        async with it.process() as first:
            old = await add(first, version="1.0.0")
        async with it.process() as crashed:  # it knows nothing of the older one, and so does not end it
            new = await add(crashed, version="2.0.0")
        async with it.process() as second:
            await second.restore()
            (found,) = second.reached(NodeReach.HTTP)
            assert found.run_id == new.run_id
            assert (await it.kinds(old.run_id))[-1] == "run_cancelled"


@pytest.mark.asyncio
async def test_what_an_agent_said_of_itself_is_erased_when_its_registration_is_over(tmp_path: Path) -> None:
    async with archive(tmp_path) as it:
        async with it.process() as first:
            standing = await add(first)
            (ref,) = await it.refs(standing.run_id)
            assert b"worker" in await it.content.get(ref)
            await first.end(standing)
            await first.end(standing)
            with pytest.raises(ContentGone):
                await it.content.get(ref)
        async with it.process() as second:
            await second.restore()
            assert second.reached(NodeReach.HTTP) == []


@pytest.mark.asyncio
async def test_one_that_cannot_be_read_any_more_is_ended(tmp_path: Path) -> None:
    async with archive(tmp_path) as it:
        async with it.process() as first:
            standing = await add(first)
        await it.content.erase(standing.run_id)
        async with it.process() as second:
            await second.restore()
            assert second.reached(NodeReach.HTTP) == []
            assert (await it.kinds(standing.run_id))[-1] == "run_cancelled"
