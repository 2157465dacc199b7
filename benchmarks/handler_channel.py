"""What a turn costs when its handler is in another process: the provider's transcript → handler → say at it.

A whole plane with its journal on disk, a provider in memory, and the same handler twice: in the plane's
process and, over a real websocket, in another. They are asked in turn, so both see the same machine.
The bar: p99 of the other process at most 15 ms.

    python benchmarks/handler_channel.py --turns 500 --sessions 1
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path

import uvicorn

from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.channel.message import MESSAGE_BYTES_MAX
from agentfield_rt.config import Settings
from agentfield_rt.frames import InputFrame, InputTranscript, ProviderEvent, SpeechFrame, SpeechStopped
from agentfield_rt.plane import providers
from agentfield_rt.plane.app import create_app
from agentfield_rt.plane.control_plane import ControlPlane
from agentfield_rt.plane.server import listen
from agentfield_rt.plane.sessions import StartRequest
from agentfield_rt.ports import AdapterFactory, ProviderSettings
from agentfield_rt.testing.memory_provider import MemoryProvider, echo
from agentfield_rt.voice.session import VoiceSession

BAR_MS = 15.0
WARM_UP = 50


def answering(node_id: str, server: str | None = None) -> Agent:
    """The agent of both processes."""
    app = Agent(node_id, server=server)

    @app.reasoner
    async def answer(text: str) -> str:
        return f"you said {text}"

    @app.session("says", provider="local", transport="websocket")
    async def says(session: RealtimeSession) -> None:
        async for turn in session.turns():
            await session.say(f"you said {turn.text}")

    @app.session("calls", provider="local", transport="websocket")
    async def calls(session: RealtimeSession) -> None:
        async for turn in session.turns():
            await session.say(await session.call(f"{node_id}.answer", text=turn.text))

    return app


class Provider(MemoryProvider):
    """Notes when it is asked to speak."""

    def __init__(self) -> None:
        super().__init__(answer=self._speak)
        self.asked_at: asyncio.Future[float] | None = None

    def _speak(self, frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
        if isinstance(frame, SpeechFrame) and self.asked_at is not None:
            self.asked_at.set_result(time.perf_counter())
            self.asked_at = None
        return echo(frame, response_id)

    async def turn_s(self, number: int) -> float:
        """Seconds from the transcript of a turn to the speech that answers it."""
        asked_at: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.asked_at = asked_at
        began = time.perf_counter()
        item_id = f"item_user_{number}"
        self.say(SpeechStopped(item_id), InputTranscript(item_id, "where is my order", final=True))
        return await asked_at - began


@contextlib.asynccontextmanager
async def plane_and_agent(data: Path) -> AsyncGenerator[tuple[ControlPlane, list[Provider]]]:
    """A served plane with the agent `near`, and the agent `far` in a process of its own."""
    made: list[Provider] = []

    def make(_: ProviderSettings) -> Provider:
        made.append(Provider())
        return made[-1]

    def factory(provider: str, transport: str) -> AdapterFactory:
        return make

    setattr(providers, "adapter_factory", factory)  # noqa: B010 - in place of the installed adapters
    sock = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    app = create_app([answering("near")], settings=Settings(data=data, local_url="http://127.0.0.1:9"))
    config = uvicorn.Config(
        app, log_level="warning", lifespan="off", ws="websockets-sansio", ws_max_size=MESSAGE_BYTES_MAX
    )
    async with app.router.lifespan_context(app):
        plane: ControlPlane = app.state.plane
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([sock]))
        there = asyncio.Event()
        plane.nodes.listen(lambda _: there.set())
        far = await asyncio.create_subprocess_exec(sys.executable, __file__, "--agent", url)
        try:
            await there.wait()
            yield plane, made
        finally:
            far.terminate()
            await far.wait()
            server.should_exit = True
            await serving


async def call(plane: ControlPlane, target: str, made: list[Provider]) -> tuple[VoiceSession, Provider]:
    """A call that is connected."""
    session = await plane.sessions.start(target, StartRequest())
    await session.connect()
    return session, made[-1]


async def measure(
    plane: ControlPlane, made: list[Provider], *, handler: str, turns: int, sessions: int
) -> bool:
    """Print a row for each process; whether the bar is held."""
    nodes = ("near", "far")
    calls = {node: [await call(plane, f"{node}.{handler}", made) for _ in range(sessions)] for node in nodes}
    took: dict[str, list[float]] = {node: [] for node in nodes}
    for number in range(WARM_UP + turns):
        for node in nodes:
            row = await asyncio.gather(*(provider.turn_s(number) for _, provider in calls[node]))
            if number >= WARM_UP:
                took[node] += row
            await asyncio.sleep(0.03)  # until it was heard and the handler asks for the next
    for each in calls.values():
        for session, _ in each:
            await session.close()
    for node in nodes:
        ordered = sorted(took[node])
        p50, p99 = (ordered[int(len(ordered) * part)] * 1000 for part in (0.5, 0.99))
        where = "in the plane's process" if node == "near" else "in another process"
        print(f"{handler:6} {where:24} n={len(ordered):<6} p50 {p50:6.2f} ms   p99 {p99:6.2f} ms")
    return sorted(took["far"])[int(len(took["far"]) * 0.99)] * 1000 <= BAR_MS


async def main(turns: int, sessions: int) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        async with plane_and_agent(Path(folder)) as (plane, made):
            held = await measure(plane, made, handler="says", turns=turns, sessions=sessions)
            await measure(plane, made, handler="calls", turns=turns, sessions=sessions)
    print(f"bar: p99 of says in another process <= {BAR_MS:g} ms: {'held' if held else 'MISSED'}")
    return held


async def serve_agent(url: str) -> None:
    async with answering("far", url).connected():
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=500)
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--agent", help="internal: be the other process")
    given = parser.parse_args()
    if given.agent:
        asyncio.run(serve_agent(given.agent))
    else:
        sys.exit(0 if asyncio.run(main(given.turns, given.sessions)) else 1)
