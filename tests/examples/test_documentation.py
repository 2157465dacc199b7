"""The examples of AgentField's documentation, with their agent in the server's process and elsewhere."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from agentfield_adapters.local.running import LocalProvider
from agentfield_rt import Agent
from agentfield_rt.cli.apps import load_agent
from agentfield_rt.config import Settings
from agentfield_rt.plane.server import serve_async

EXAMPLES = Path(__file__).parents[2] / "examples" / "sessions"
TESTED = {"browser_voice.py", "phone.py", "hand_off.py", "voice_dictation.py"}


def test_every_example_of_sessions_is_run_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == TESTED


@asynccontextmanager
async def server(settings: Settings, *agents: Agent) -> AsyncGenerator[str]:
    """A control plane in this loop; its address."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve_async(agents, settings, on_ready=ready.set_result))
    try:
        await asyncio.wait((serving, ready), return_when=asyncio.FIRST_COMPLETED)
        yield ready.result()
    finally:
        serving.cancel()
        await asyncio.wait([serving])


@pytest.fixture(params=["in the server's process", "elsewhere"])
def place(request: pytest.FixtureRequest) -> str:
    where: str = request.param
    return where


@asynccontextmanager
async def client_of(
    name: str, place: str, *, provider: LocalProvider, data: Path
) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of a server whose example is where it is to be."""
    app = load_agent(str(EXAMPLES / name))
    settings = Settings(port=0, data=data, local_url=provider.url)
    async with AsyncExitStack() as stack:
        here = (app,) if place != "elsewhere" else ()
        url = await stack.enter_async_context(server(settings, *here))
        if not here:
            app._server = url  # pyright: ignore[reportPrivateUsage]
            await stack.enter_async_context(app.connected())
        yield await stack.enter_async_context(httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=20))


class Call:
    """A call by keyboard."""

    def __init__(self, client: httpx.AsyncClient, started: dict[str, Any]) -> None:
        self.client = client
        self.session_id = str(started["session_id"])
        self.path = f"/session-instances/{self.session_id}"
        self._after = 0

    async def asks(self, text: str) -> str:
        """Type a turn, and return what was said to it."""
        (await self.client.post(f"{self.path}/input", json={"text": text})).raise_for_status()
        async with self.client.stream("GET", f"{self.path}/events", params={"after": self._after}) as events:
            async for line in events.aiter_lines():
                field, _, value = line.partition(": ")
                record: dict[str, Any] = json.loads(value) if field == "data" else {}
                self._after = max(self._after, record.get("seq", 0))
                if record.get("kind") == "utterance_requested":
                    return str(next(iter(record["content"].values())))
        raise AssertionError("nothing was said")

    async def close(self) -> None:
        (await self.client.post(f"{self.path}/close")).raise_for_status()

    async def executions(self) -> list[str]:
        """What ran for it."""
        query = {"resource": "executions", "filters": {"session_id": self.session_id}, "limit": 100}
        found = (await self.client.post("/agentic/query", json=query)).json()["data"]["results"]
        return sorted(str(each["reasoner_id"]) for each in found)


@asynccontextmanager
async def called(client: httpx.AsyncClient, target: str) -> AsyncGenerator[Call]:
    """A call, which is hung up at the end."""
    started = await client.post(f"/session-targets/{target}/start")
    assert started.status_code == 201, started.text
    call = Call(client, started.json())
    yield call
    await call.close()


@pytest.mark.asyncio
async def test_the_browser_voice_of_the_guide(place: str, af_provider: LocalProvider, tmp_path: Path) -> None:
    async with (
        client_of("browser_voice.py", place, provider=af_provider, data=tmp_path) as client,
        called(client, "voice-support.voice") as call,
    ):
        browser = RTCPeerConnection()
        try:
            browser.addTransceiver("audio")
            await browser.setLocalDescription(await browser.createOffer())
            answer = await client.post(
                f"{call.path}/realtime-offer",
                content=browser.localDescription.sdp,
                headers={"Content-Type": "application/sdp"},
            )
            assert answer.status_code == 200, answer.text
            await browser.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
            assert (await call.asks("Where is my order?")).startswith("I found the order.")
            assert (await call.asks("And now?")).startswith("I found the order.")
            assert await call.executions() == ["resolve_turn", "resolve_turn"]
        finally:
            await browser.close()


@pytest.mark.asyncio
async def test_the_phone_of_the_guide(place: str, af_provider: LocalProvider, tmp_path: Path) -> None:
    async with (
        client_of("phone.py", place, provider=af_provider, data=tmp_path) as client,
        called(client, "kiosk.phone") as call,
    ):
        assert await call.asks("hello") == "You said: hello"
        assert await call.asks("goodbye") == "You said: goodbye"


@pytest.mark.asyncio
async def test_the_hand_off_of_the_guide(place: str, af_provider: LocalProvider, tmp_path: Path) -> None:
    async with (
        client_of("hand_off.py", place, provider=af_provider, data=tmp_path) as client,
        called(client, "support.voice") as call,
    ):
        assert await call.asks("what about 1002") == "Order 1002 is delivered."
        assert await call.asks("what about 1001") == "Order 1001 is sent once more."
        assert await call.executions() == [
            "approve",
            "handle_turn",
            "handle_turn",
            "orders_find",
            "orders_find",
            "orders_may_be_replaced",
            "orders_may_be_replaced",
        ]


@pytest.mark.asyncio
async def test_the_dictation_is_kept_with_the_call(
    place: str, af_provider: LocalProvider, tmp_path: Path
) -> None:
    async with (
        client_of("voice_dictation.py", place, provider=af_provider, data=tmp_path) as client,
        called(client, "voice-dictation.dictation") as call,
    ):
        for text in ("first things first", "the rest can wait", "not this"):
            assert await call.asks(text) == "Noted."
        assert await call.asks("scratch that") == "Gone."
        assert await call.asks("how much is it") == "2 lines"
        assert await call.asks("read it back") == "First things first. The rest can wait."
