"""What a caller hears of a provider connection that breaks in the middle of an answer.

A plane in a process of its own, a caller on its media socket, the local provider over a real websocket, which
resets the connection while it speaks. Talking again: from the order to break to the first new sound of the
answer at the caller. The reference, in the same call, is an answer that nothing disturbs: from the typed turn
to its first sound.

Run: python benchmarks/reconnect.py [--drops 100]
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx
from websockets.asyncio.client import ClientConnection, connect

from agentfield_adapters.local.running import LocalProvider, running_provider
from agentfield_journal import open_journal
from agentfield_rt.core import records
from agentfield_rt.run import decode
from agentfield_rt.testing.agent_process import AgentProcess, agent_process

AGENT = """
from agentfield_rt import Agent, RealtimeSession

app = Agent(node_id="story-teller")

@app.session("voice", provider="local", transport="websocket", modalities=["audio", "text"])
async def voice(session: RealtimeSession) -> None:
    async for turn in session.turns():
        await session.say(turn.text)

app.run()
"""
STORY = "once upon a time a parcel wanted to see the sea"
SCENARIO = "{senses: synthetic, pace: 2}"
BREAK = "drop_at=1,type=response.output_audio.delta,times=1"
HEARD_FRAMES = 20
"""So much of an answer is heard before the connection breaks: 0.4 s."""
ANSWER_S = 30.0


class Caller:
    """Somebody on the media socket, who types."""

    def __init__(self, http: httpx.AsyncClient, session_id: str, socket: ClientConnection) -> None:
        self._http = http
        self._session_id = session_id
        self._socket = socket

    async def types(self) -> float:
        """Ask for the story; when that was (monotonic)."""
        while True:
            now_s = time.monotonic()
            answer = await self._http.post(
                f"/api/v1/session-instances/{self._session_id}/input", json={"text": STORY}
            )
            if answer.status_code != 409:  # it is being connected
                answer.raise_for_status()
                return now_s
            await asyncio.sleep(0.02)

    async def hears(self, frames: int = 1, *, after_clear: bool = False) -> float:
        """Listen to so many frames, of what follows a cut if one is awaited; when the last came."""
        async with asyncio.timeout(ANSWER_S):
            while after_clear and isinstance(await self._socket.recv(), bytes):
                pass
            while frames:
                frames -= isinstance(await self._socket.recv(), bytes)
        return time.monotonic()

    async def hears_the_end(self) -> None:
        """Listen until it has been silent for a second."""
        try:
            while True:
                async with asyncio.timeout(1.0):
                    await self._socket.recv()
        except TimeoutError:
            pass


async def one_call(
    plane: AgentProcess, provider: LocalProvider, drops: int
) -> tuple[list[float], list[float], str]:
    """Seconds to the first sound, undisturbed and after each break; and the call's run."""
    undisturbed: list[float] = []
    again: list[float] = []
    async with httpx.AsyncClient(base_url=plane.url, timeout=ANSWER_S) as http:
        started = (await http.post("/api/v1/session-targets/story-teller.voice/start")).json()
        url = plane.url.replace("http", "ws", 1)
        media = f"{url}/api/v1/session-instances/{started['session_id']}/media"
        async with connect(media, proxy=None) as socket:
            caller = Caller(http, started["session_id"], socket)
            for _ in range(drops):
                asked_s = await caller.types()
                undisturbed.append(await caller.hears() - asked_s)
                await caller.hears(HEARD_FRAMES)
                broken_s = time.monotonic()
                await asyncio.to_thread(provider.set_faults, BREAK)
                again.append(await caller.hears(after_clear=True) - broken_s)
                await caller.hears_the_end()
    return undisturbed, again, started["run_id"]


async def told(data: Path, run_id: str) -> tuple[Counter[str], list[int]]:
    """What the journal says of the call: how often what happened, and how long each replacement took (ms)."""
    journal = await open_journal(f"sqlite:///{data}/journal.db", read_only=True)
    try:
        history = [decode(envelope) for envelope in await journal.read(run_id, limit=1_000_000)]
    finally:
        await journal.close()
    kinds = Counter(record.kind for record in history)
    return kinds, [record.gap_ms for record in history if isinstance(record, records.ConversationRestored)]


def row(name: str, values_s: list[float]) -> None:
    ordered = sorted(values_s)
    p95 = ordered[int(len(ordered) * 0.95)]
    print(f"{name:<34} median {statistics.median(ordered):.3f} s   p95 {p95:.3f} s   max {ordered[-1]:.3f} s")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drops", type=int, default=100)
    drops: int = parser.parse_args().drops
    with tempfile.TemporaryDirectory() as folder, running_provider("--seed", "1") as provider:
        provider.set_scenario(SCENARIO)
        os.environ["AGENTFIELD_RT_LOCAL_URL"] = provider.url
        script, data = Path(folder) / "agent.py", Path(folder) / "data"
        script.write_text(AGENT)
        async with agent_process(script, data) as plane:
            undisturbed, again, run_id = await one_call(plane, provider, drops)
        kinds, gaps_ms = await told(data, run_id)
    row("an answer, undisturbed", undisturbed)
    row(f"talking again after {drops} drops", again)
    ratio = statistics.median(again) / statistics.median(undisturbed)
    print(f"ratio of the medians               {ratio:.2f}   bar: talking again in 1.0 s, all drops survived")
    print(f"of that, to a connection that knew all that had been said: {statistics.median(gaps_ms)} ms")
    print(
        f"in the journal: {kinds['realtime_connection_lost']} connections lost, "
        f"{kinds['realtime_conversation_restored']} conversations restored, "
        f"of {kinds['utterance_requested']} answers {kinds['utterance_played']} heard to their end, "
        f"{kinds['utterance_interrupted']} interrupted by the next turn, {kinds['utterance_failed']} failed"
    )


if __name__ == "__main__":
    asyncio.run(main())
