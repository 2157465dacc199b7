"""A provider's audio event on its way to the caller's writer, one in flight, beside other frameworks.

    python benchmarks/session_peers.py --peers FOLDER

Ours: the JSON text of `response.output_audio.delta` (20 ms of PCM16 at 24 kHz in base64) through the
production adapter's decoding, the controller's window, the voice session and its player, until `Caller.play`
has it. Time moves 20 ms with every frame, so that windows are recorded and playback is paced as in a call.
Each peer runs in a process of its own with a hop measured there, because what is loaded changes what the
collector costs. Times are CPU seconds, so that other work on the machine is not measured; ratios are medians
over the rounds.

Peers are looked for in FOLDER/agents and FOLDER/pipecat, never in the environment, because their pins clash:

    pip install --target FOLDER/agents livekit-agents "openai-agents[voice]" "openai[realtime]"
    pip install --target FOLDER/pipecat pipecat-ai
"""

import argparse
import asyncio
import json
import statistics
from pathlib import Path
from typing import Any

from agentfield_adapters.openai.adapter import RealtimeAdapter
from agentfield_adapters.openai.connection import LiveConnection
from agentfield_adapters.openai.dialect import OPENAI
from agentfield_adapters.openai.responses import Response
from agentfield_journal import open_journal
from agentfield_rt import Run
from agentfield_rt.ports import Connection, ConnectRequest, ProviderSettings
from benchmarks.hop import each_s
from benchmarks.peers.measuring import Measured, measured
from benchmarks.peers.process import LIVEKIT, OPENAI_AGENTS, PIPECAT, ask
from benchmarks.peers.wire import AUDIO_EVENT, RESPONSE_ID
from benchmarks.voice_call import FRAME_S, Ear, voice_session

EVENTS = 3_000
ROUNDS = 7
BAR_HOPS = 2.5
PEERS = (
    (LIVEKIT, "a session, not decoded"),
    (OPENAI_AGENTS, "a session, decoded"),
    (PIPECAT, "one processor"),
)


class Socket:
    """A provider's end of a websocket, without the websocket."""

    class _Transport:
        def abort(self) -> None:
            pass

        def get_write_buffer_size(self) -> int:
            return 0

    def __init__(self) -> None:
        self.transport = self._Transport()
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self.give({"type": "session.created", "session": {"id": "sess_1"}})

    def give(self, event: dict[str, Any]) -> None:
        self.give_bytes(json.dumps(event).encode())

    def give_bytes(self, data: bytes) -> None:
        self._received.put_nowait(data)

    async def recv(self, *, decode: bool) -> bytes:
        return await self._received.get()

    async def send(self, data: bytes, *, text: bool) -> None:
        event = json.loads(data)
        if event["type"] == "session.update":
            self.give({"type": "session.updated", "session": {}})
        elif event["type"] == "response.create":
            info = {"id": RESPONSE_ID, "metadata": event["response"]["metadata"]}
            self.give({"type": "response.created", "response": info})

    async def close(self) -> None:
        pass


class SocketlessAdapter(RealtimeAdapter):
    """openai/websocket as it is, over that socket."""

    carries_audio = True
    socket: Socket
    live: LiveConnection

    async def _open(self, request: ConnectRequest) -> Connection:
        self.socket = Socket()
        self.live = await self._bring_up(self.socket, {})  # type: ignore[arg-type]  # a stand-in
        return Connection(session_id=request.session_id, connection_id="connection-1")

    async def _stop(self, live: LiveConnection, response: Response, heard_ms: int | None) -> None:
        pass

    async def _hang_up(self, live: LiveConnection | None) -> None:
        pass

    async def _retire(self, live: LiveConnection, request: ConnectRequest) -> None:
        pass


class Writer(Ear):
    """The caller's writer, which says when it was given something."""

    def __init__(self) -> None:
        self.has = asyncio.Event()

    async def play(self, pcm: bytes) -> None:
        self.has.set()


class PacedLoop(asyncio.SelectorEventLoop):
    """A loop whose time is moved on by hand, beside its own."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


async def ours_s(events: int, *, over_socket: bool) -> float:
    """CPU seconds for one event: handed to the decoder, or to whoever reads the socket."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, PacedLoop)
    async with open_journal("memory:") as journal:
        run = await Run.open(journal, "run-1")
        adapter, writer = SocketlessAdapter(OPENAI, ProviderSettings(api_key="sk-nobody")), Writer()
        session = voice_session(run, adapter)
        await session.connect(caller=writer)
        session.say("a long answer")
        await asyncio.sleep(0.05)
        take = adapter.live._take  # pyright: ignore[reportPrivateUsage]

        async def event() -> None:
            loop.ahead_s += FRAME_S
            writer.has.clear()
            if over_socket:
                adapter.socket.give_bytes(AUDIO_EVENT)
            else:
                take(AUDIO_EVENT)
            await writer.has.wait()

        took_s = await each_s(event, events)
        await session.close()
        return took_s


def line(who: str, what: str, times: Measured) -> str:
    hops = statistics.median(e / h for e, h in zip(times["events_s"], times["hops_s"], strict=True))
    event_us, hop_us = (1e6 * statistics.median(times[key]) for key in ("events_s", "hops_s"))
    return f"{who:<20} {what:<34} {event_us:7.1f} {hop_us:7.2f} {hops:7.1f}"


def main(peers: Path | None, events: int = EVENTS, rounds: int = ROUNDS) -> None:
    print(f"{'one audio event':<20} {'':<34} {'µs':>7} {'hop µs':>7} {'hops':>7}")
    for over_socket, what in ((False, "a session, decoded"), (True, "with the task that reads the socket")):
        with asyncio.Runner(loop_factory=PacedLoop) as runner:
            times = runner.run(measured(lambda: ours_s(events, over_socket=over_socket), rounds))  # noqa: B023
        print(line("this", what, times) + ("" if over_socket else f"   (bar: {BAR_HOPS})"))
    for peer, what in PEERS:
        peer_times: Measured | None = ask(peer, peers, "event", events, rounds)
        print(line(peer.name, what, peer_times) if peer_times else f"{peer.name:<20} not installed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", type=Path, help="where the peers are installed")
    main(parser.parse_args().peers)
