"""Starting sessions without HTTP: places that are kept, starts that fail, tools a model cannot tell apart."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentfield_adapters.scripted import ScriptedAdapter
from agentfield_journal import Cursor, JournalFull, JournalUnavailable, QueuedContentStore, StoreJournal
from agentfield_journal.content.store import MemoryContent
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.config import Settings
from agentfield_rt.plane import providers
from agentfield_rt.plane.errors import BadRequest, Busy
from agentfield_rt.plane.executions.executions import Executions
from agentfield_rt.plane.nodes import Nodes
from agentfield_rt.plane.nodes.in_process import in_process_node
from agentfield_rt.plane.providers import Providers
from agentfield_rt.plane.runs import Runs
from agentfield_rt.plane.sessions import Sessions, StartRequest
from agentfield_rt.ports import AdapterFactory, ProviderSettings
from agentfield_rt.run import Run
from agentfield_rt.voice.session import VoiceSession
from tests.plane.serving import NOBODY

pytestmark = pytest.mark.usefixtures("clean_journals")


@dataclass
class Reception:
    """Sessions over a journal in memory, two at once."""

    sessions: Sessions
    runs: Runs
    journal: StoreJournal

    async def start(self, target: str = "a.phone") -> VoiceSession:
        return await self.sessions.start(target, StartRequest())

    async def sealed(self) -> list[str]:
        """The kinds of the one run, once it has its last record."""
        async with asyncio.timeout(5):
            await self.runs.ended.wait()
        (head,) = await self.journal.heads()
        return [envelope.kind for envelope in await self.journal.read(head.run_id)]


def two_nodes() -> list[Agent]:
    a, b = Agent("a"), Agent("b")

    async def find(word: str) -> str:
        return word

    async def listens(session: RealtimeSession) -> None:
        async for _ in session.turns():
            pass

    a.reasoner()(find)
    b.reasoner()(find)
    a.session("phone", provider="local", transport="websocket", tools=["find", "a.find"])(listens)
    a.session("both", provider="local", transport="websocket", tools=["find", "b.find"])(listens)
    return [a, b]


@asynccontextmanager
async def reception(data: Path, patch: pytest.MonkeyPatch) -> AsyncGenerator[Reception]:
    def make(_: ProviderSettings) -> ScriptedAdapter:
        return ScriptedAdapter()

    def factory(provider: str, transport: str) -> AdapterFactory:
        return make

    patch.setattr(providers, "adapter_factory", factory)
    journal, content = StoreJournal(MemoryStore()), QueuedContentStore(MemoryContent())
    runs, nodes = Runs(journal), Nodes(map(in_process_node, two_nodes()))
    executions = Executions(runs, nodes, content)
    settings = Settings(data=data, local_url=NOBODY, sessions_max=2)
    sessions = Sessions(runs, nodes, executions=executions, content=content, providers=Providers(settings))
    try:
        yield Reception(sessions, runs, journal)
    finally:
        await sessions.close()
        await executions.close()
        await journal.close()
        await content.close()


@pytest.mark.asyncio
async def test_starts_at_the_same_time_do_not_pass_the_limit_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reception(tmp_path, monkeypatch) as desk:
        results = await asyncio.gather(*(desk.start() for _ in range(5)), return_exceptions=True)
        assert [type(result) for result in results] == [VoiceSession, VoiceSession, Busy, Busy, Busy]
        assert len(desk.sessions) == 2


@pytest.mark.asyncio
async def test_a_start_that_fails_lets_its_run_and_its_place_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: VoiceSession) -> None:
        raise JournalFull("no room")

    async with reception(tmp_path, monkeypatch) as desk:
        with monkeypatch.context() as patch:
            patch.setattr(VoiceSession, "start", fails)
            with pytest.raises(JournalFull):
                await desk.start()
        assert await desk.sealed() == ["run_failed"]
        for _ in range(2):
            await desk.start()


@pytest.mark.asyncio
async def test_a_start_that_is_not_durable_ends_the_session_nobody_heard_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(self: Run, cursor: Cursor | None = None) -> None:
        raise JournalUnavailable("the disk does not answer")

    async with reception(tmp_path, monkeypatch) as desk:
        with monkeypatch.context() as patch:
            patch.setattr(Run, "durable", fails)
            with pytest.raises(JournalUnavailable):
                await desk.start()
        kinds = await desk.sealed()
        assert (kinds[0], kinds[-1]) == ("session_started", "run_completed")
        assert len(desk.sessions) == 0


@pytest.mark.asyncio
async def test_a_caller_who_gives_up_at_any_moment_of_the_start_leaves_no_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for turns in range(8):
        async with reception(tmp_path, monkeypatch) as desk:
            starting = asyncio.create_task(desk.start())
            for _ in range(turns):
                await asyncio.sleep(0)
            starting.cancel()
            (result,) = await asyncio.gather(starting, return_exceptions=True)
            if isinstance(result, VoiceSession):
                continue  # it was told of it just in time
            await asyncio.sleep(0)  # the session begins to end
            assert len(desk.sessions) == 0
            for _ in range(2):
                await desk.start()


@pytest.mark.asyncio
async def test_tools_of_one_name_are_refused_and_both_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reception(tmp_path, monkeypatch) as desk:
        with pytest.raises(BadRequest, match=r"session a\.both allows a\.find and b\.find"):
            await desk.start("a.both")
        assert (await desk.start("a.phone")).spec.tools == {"find": "a.find"}
