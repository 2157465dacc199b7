"""Sessions in a process without a web server."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentfield_adapters.scripted import ScriptedAdapter
from agentfield_rt import Agent, CloseReason, IllegalCommand, RealtimeRuntime, RealtimeSession
from agentfield_rt.config import Settings
from agentfield_rt.core.records import Record, SessionEnded, TurnStarted, UtterancePlayed
from agentfield_rt.plane import providers
from agentfield_rt.plane.errors import Busy, NotFound
from agentfield_rt.ports import AdapterFactory, ProviderSettings
from tests.plane.serving import NOBODY, desk
from tests.voice.call import speaks

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    def make(_: ProviderSettings) -> ScriptedAdapter:
        return ScriptedAdapter(answer=speaks(audio_ms=100))

    def factory(provider: str, transport: str) -> AdapterFactory:
        return make

    monkeypatch.setattr(providers, "adapter_factory", factory)
    return Settings(data=tmp_path, local_url=NOBODY)


@pytest.mark.asyncio
async def test_a_call_gives_and_takes_sound_text_and_records(settings: Settings) -> None:
    async with RealtimeRuntime([desk()], settings=settings) as runtime:
        async with runtime.call("desk.phone", metadata={"from": "a test"}) as call:
            await call.hear(bytes(1_000))
            turn_id = await call.type("hello")
            spoken = await anext(call.sound())
            assert spoken
            records = [record async for record in _until(call.records(), UtterancePlayed)]
            assert [record.op_id for record in records if isinstance(record, TurnStarted)] == [turn_id]
            (played,) = [record for record in records if isinstance(record, UtterancePlayed)]
            assert played.heard_ref is not None
            assert await call.content(played.heard_ref) == b"hello: 10"
        assert await call.ended() is CloseReason.NORMAL
        *_, last = [record async for record in call.records()]
        assert isinstance(last, SessionEnded)
        assert await runtime.execute("desk.double", number=4) == 8


async def _until(records: AsyncIterator[Record], kind: type[Record]) -> AsyncIterator[Record]:
    async for record in records:
        yield record
        if isinstance(record, kind):
            return


@pytest.mark.asyncio
async def test_the_sound_ends_when_the_agent_hangs_up(settings: Settings) -> None:
    app = Agent("desk")

    @app.session("bye", provider="local", transport="websocket")
    async def bye(session: RealtimeSession) -> None:
        await session.input()
        await session.close()

    async with RealtimeRuntime([app], settings=settings) as runtime, runtime.call("desk.bye") as call:
        await call.type("hello")
        async with asyncio.timeout(20):
            async for _ in call.sound():
                pass
        assert await call.ended() is CloseReason.NORMAL


@pytest.mark.asyncio
async def test_what_cannot_be_called_is_refused_and_leaves_nothing_live(settings: Settings) -> None:
    async with RealtimeRuntime([desk()], settings=settings) as runtime:
        with pytest.raises(NotFound):
            async with runtime.call("desk.nothing"):
                pass
        with pytest.raises(IllegalCommand, match="transport=webrtc"):
            async with runtime.call("desk.page"):
                pass
        assert await runtime.drain(5)
        with pytest.raises(Busy, match="about to stop"):
            async with runtime.call("desk.phone"):
                pass
    with pytest.raises(IllegalCommand, match="async with"):
        await runtime.execute("desk.double", number=4)


def _held_provider(monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """A provider that takes its time before it is there: whether it is asked for, and whether it may come."""
    asked, come = asyncio.Event(), asyncio.Event()

    async def start(_: providers.Providers) -> str:
        asked.set()
        await come.wait()
        return NOBODY

    monkeypatch.setattr(providers.Providers, "start_local", start)
    return asked, come


@pytest.mark.asyncio
async def test_a_call_that_was_being_started_when_the_end_began_is_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RealtimeRuntime([desk()], settings=settings) as runtime:
        asked, come = _held_provider(monkeypatch)

        async def caller() -> CloseReason | None:
            async with runtime.call("desk.phone") as call:
                await call.type("hello")
                await anext(call.sound())
                assert not drained.done()
            return await call.ended()

        calling = asyncio.create_task(caller())
        await asked.wait()
        drained = asyncio.create_task(runtime.drain(20))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not drained.done()
        come.set()
        assert await calling is CloseReason.NORMAL
        assert await drained


@pytest.mark.asyncio
async def test_a_call_that_is_still_being_started_when_its_time_is_over_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RealtimeRuntime([desk()], settings=settings) as runtime:
        asked, come = _held_provider(monkeypatch)

        async def caller() -> None:
            async with runtime.call("desk.phone"):
                pass

        calling = asyncio.create_task(caller())
        await asked.wait()
        assert not await runtime.drain(0.01)
    come.set()
    with pytest.raises(Busy, match="about to stop") as refused:
        await calling
    assert refused.value.retry_after_s


def test_it_needs_no_web_framework(tmp_path: Path) -> None:
    probe = """
import asyncio, sys

class NotHere:
    def find_spec(self, name, path=None, target=None):
        missing = {"fastapi", "starlette", "uvicorn", "prometheus_client", "opentelemetry"}
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, NotHere())
from agentfield_rt import Agent, RealtimeRuntime
from agentfield_rt.config import Settings

app = Agent("desk")

@app.reasoner()
async def double(number: int) -> int:
    return number * 2

async def main():
    async with RealtimeRuntime([app], settings=Settings(data=sys.argv[1])) as runtime:
        print(await runtime.execute("desk.double", number=4))

asyncio.run(main())
"""
    ran = subprocess.run(
        [sys.executable, "-c", probe, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.stdout.strip() == "8", ran.stderr


def test_the_example_of_the_documentation_runs(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "runtime.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "the agent spoke for" in ran.stdout, ran.stderr
    assert "it ended because: normal" in ran.stdout
    assert "spoke for 0.0 s" not in ran.stdout
