"""How late a caller's sound is where we end the media, beside stock aiortc in the same run.

    python benchmarks/media_delay.py [--seconds 20] [--loss-minutes 1]

Marks of 20 ms, one a second, go over real peer connections on this machine:

- without loss: caller → receiver, ours and aiortc's own;
- 2 % of the packets lost: how the delay of the marks moves, and the longest time without sound, beside that
  of another call at the same time of which nothing is lost; and the same for our receiver alone over five
  minutes of a clock that is not waited for, with several seeds;
- up: caller → plane → a provider's websocket, against caller → a bare aiortc echo, at the same time;
- there and back: the same two, heard by the caller again. A plane never skips speech: what a stall of this
  machine held back stays behind until the answer is over, which of an echo is never.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import statistics
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from pydantic import SecretStr
from websockets.asyncio.server import ServerConnection, serve

from agentfield_adapters.media.libopus import Encoder
from agentfield_adapters.media.webrtc.arrival import ArrivalBuffer, AudioPacket
from agentfield_adapters.media.webrtc.hearing import Hearing
from agentfield_adapters.media.webrtc.pacing import Pacer
from agentfield_adapters.media.webrtc.peer import AudioPeer, Sides
from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.caller_media import IceSettings
from agentfield_rt.config import Settings
from agentfield_rt.frames import FRAME_BYTES, SAMPLE_RATE_HZ
from agentfield_rt.plane.control_plane import open_control_plane
from agentfield_rt.plane.sessions import StartRequest
from agentfield_rt.sdp import read_offer
from agentfield_rt.testing.virtual_time import run as run_in_virtual_time
from benchmarks.marks import FRAME_S, FRAME_SAMPLES, NO_SERVERS, Call, Ear

LOSS = 0.02
VIRTUAL_MINUTES, VIRTUAL_SEEDS = 5, 20
DELAY_BAR, DRIFT_BAR_MS, GAP_BAR_MS, ADDED_BAR_MS = 0.4, 20.0, 100.0, 10.0


async def into_aiortc(ear: Ear, seconds: float, *, loss: float = 0.0) -> list[float]:
    """Delays of marks into a receiver as aiortc brings it."""
    call, receiver = Call(), RTCPeerConnection(NO_SERVERS)
    listening: list[asyncio.Task[None]] = []

    def hear(track: Any) -> None:
        listening.append(asyncio.create_task(ear.listen(track)))

    receiver.on("track", hear)

    async def answer(offer: str) -> str:
        await receiver.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await receiver.setLocalDescription(await receiver.createAnswer())
        sdp: str = receiver.localDescription.sdp
        return sdp

    await call.dial(answer, loss=loss)
    await asyncio.sleep(seconds)
    await call.connection.close()
    await receiver.close()
    await asyncio.gather(*listening)
    return ear.delays_ms(call.marks.sent_s)


class Silence:
    """What our end says."""

    def next_frame(self) -> bytes:
        return bytes(FRAME_BYTES)


async def into_ours(ear: Ear, seconds: float, *, loss: float = 0.0) -> list[float]:
    """Delays of marks into our receiver."""
    call = Call()
    sides = Sides(source=Silence(), on_pcm=ear.hear, on_digit=None, on_gone=lambda: None)
    peer = AudioPeer(sides, IceSettings(), pacer=Pacer(), hearing_rate_hz=SAMPLE_RATE_HZ)

    async def answer(offer: str) -> str:
        return await peer.answer(read_offer(offer.encode(), private=True))

    await call.dial(answer, loss=loss)
    await asyncio.sleep(seconds)
    await call.connection.close()
    await peer.close()
    return ear.delays_ms(call.marks.sent_s)


def drift_ms(delays: list[float], lossless_ms: float) -> float:
    """By how much the delay is more at the end than where nothing is lost; a median of the last quarter."""
    return statistics.median(delays[-max(len(delays) // 4, 1) :]) - lossless_ms


async def virtual_loss(seed: int) -> tuple[float, float]:
    """(longest gap, drift) in ms of our receiver in virtual time."""
    loop, chance = asyncio.get_running_loop(), random.Random(seed)
    heard_s: list[float] = []
    heard_bytes = 0

    def hear(pcm: bytes) -> None:
        nonlocal heard_bytes
        heard_bytes += len(pcm)
        heard_s.append(loop.time())

    hearing = Hearing(hear, None, rate_hz=SAMPLE_RATE_HZ)
    buffer = ArrivalBuffer(hearing.take)
    encoder = Encoder(rate_hz=SAMPLE_RATE_HZ)
    encoder.expect_loss(int(LOSS * 100))
    payload = encoder.encoded(bytes(FRAME_BYTES))
    frames = int(VIRTUAL_MINUTES * 60 / FRAME_S)
    for number in range(frames):
        if number in (0, frames - 1) or chance.random() >= LOSS:
            buffer.add(AudioPacket(111, number & 0xFFFF, number * FRAME_SAMPLES & 0xFFFFFFFF, payload))
        await asyncio.sleep(FRAME_S)
    hearing.close()
    gaps = [later - earlier for earlier, later in pairwise(heard_s)]
    return max(gaps) * 1e3, abs(heard_bytes / FRAME_BYTES - frames) * FRAME_S * 1e3


class EchoProvider:
    """A realtime provider on a websocket that says what it hears, packet by packet."""

    def __init__(self) -> None:
        self.ear = Ear()

    async def serve_one(self, socket: ServerConnection) -> None:
        response_id = ""
        await self._send(socket, type="session.created", session={"id": "sess_1"})
        async for message in socket:
            event = json.loads(message)
            if event["type"] == "session.update":
                await self._send(socket, type="session.updated", session={})
            elif event["type"] == "response.create":
                response_id = "resp_1"
                asked = event.get("response", {}).get("metadata")
                await self._send(
                    socket, type="response.created", response={"id": response_id, "metadata": asked}
                )
            elif event["type"] == "input_audio_buffer.append" and response_id:
                self.ear.hear(base64.b64decode(event["audio"]))
                await self._send(
                    socket,
                    type="response.output_audio.delta",
                    response_id=response_id,
                    item_id="item_1",
                    delta=event["audio"],
                )

    async def _send(self, socket: ServerConnection, **event: Any) -> None:
        await socket.send(json.dumps({"event_id": "event_1", **event}), text=True)


@asynccontextmanager
async def echoing_plane(provider: EchoProvider) -> AsyncGenerator[Callable[[str], Any]]:
    """A plane whose provider, behind a websocket, is an echo; gives what answers an offer."""
    app = Agent("echo")

    @app.session("phone", provider="openai", transport="websocket")
    async def speaks(session: RealtimeSession) -> None:
        await session.say("What you say.")
        async for _ in session.turns():
            pass

    with tempfile.TemporaryDirectory() as folder:
        async with serve(provider.serve_one, "127.0.0.1", 0, compression=None) as server:
            port = server.sockets[0].getsockname()[1]
            settings = Settings(
                data=Path(folder),
                openai_api_key=SecretStr("sk-echo"),
                openai_base_url=f"http://127.0.0.1:{port}/v1",
            )
            async with open_control_plane([app], settings=settings) as plane:

                async def answer(offer: str) -> str:
                    session = await plane.sessions.start("echo.phone", StartRequest())
                    return await plane.webrtc_calls.answer(session, offer.encode())

                yield answer


async def through_plane(seconds: float) -> tuple[list[float], list[float]]:
    """Delays of marks (up to the provider's socket, there and back)."""
    provider, call = EchoProvider(), Call()
    async with echoing_plane(provider) as answer:
        await call.dial(answer)
        await asyncio.sleep(seconds)
        await call.connection.close()
    return provider.ear.delays_ms(call.marks.sent_s), call.ear.delays_ms(call.marks.sent_s)


class Echo(MediaStreamTrack):
    """What a bare echo sends: what it hears, noted on the way."""

    kind = "audio"

    def __init__(self, heard: Any, ear: Ear) -> None:
        super().__init__()
        self._heard, self._ear = heard, ear

    async def recv(self) -> Any:
        frame = await self._heard.recv()
        self._ear.hear(frame.to_ndarray().tobytes())
        return frame


async def through_bare_echo(seconds: float) -> tuple[list[float], list[float]]:
    """Delays of marks (up to the echo, there and back) where there is nothing but aiortc."""
    echo, ear, call = RTCPeerConnection(NO_SERVERS), Ear(), Call()

    def hear(track: Any) -> None:
        echo.addTrack(Echo(track, ear))

    echo.on("track", hear)

    async def answer(offer: str) -> str:
        await echo.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await echo.setLocalDescription(await echo.createAnswer())
        sdp: str = echo.localDescription.sdp
        return sdp

    await call.dial(answer)
    await asyncio.sleep(seconds)
    await call.connection.close()
    await echo.close()
    return ear.delays_ms(call.marks.sent_s), call.ear.delays_ms(call.marks.sent_s)


RECEIVERS = {"ours": into_ours, "aiortc": into_aiortc}


def say(what: str, met: bool, bar: str) -> None:
    print(f"{what} ({'meets' if met else 'misses'} {bar})", flush=True)


async def measure(seconds: float, loss_minutes: float) -> None:
    """Measure and print what happens in real time."""
    delays = {name: await into(Ear(), seconds) for name, into in RECEIVERS.items()}
    lossless = {name: statistics.median(of_one) for name, of_one in delays.items()}
    ratio = lossless["ours"] / lossless["aiortc"]
    figures = f"ours {lossless['ours']:.1f} ms, aiortc {lossless['aiortc']:.1f} ms: {ratio:.2f} x"
    say(f"sender -> receiver without loss: {figures}", ratio <= DELAY_BAR, f"{DELAY_BAR} x")
    for name, into in RECEIVERS.items():
        ear, beside = Ear(), Ear()
        minutes_s = loss_minutes * 60
        delays_lossy, _ = await asyncio.gather(into(ear, minutes_s, loss=LOSS), into(beside, minutes_s))
        drift = drift_ms(delays_lossy, lossless[name])
        gap, own_gap = ear.longest_gap_ms(), beside.longest_gap_ms()
        figures = f"drift {drift:.0f} ms, longest gap {gap:.0f} ms beside {own_gap:.0f} ms without loss"
        met = drift <= DRIFT_BAR_MS and gap - own_gap <= GAP_BAR_MS - FRAME_S * 1e3
        say(
            f"2 % lost for {loss_minutes:g} min, {name}: {figures}", met, "20 ms of drift, 80 ms of gap added"
        )
    ours, bare = await asyncio.gather(through_plane(seconds), through_bare_echo(seconds))
    for way, through, reference in zip(("up", "there and back"), ours, bare, strict=True):
        added = statistics.median(through) - statistics.median(reference)
        figures = f"plane {statistics.median(through):.0f} ms, echo {statistics.median(reference):.0f} ms"
        say(f"{way}: {figures}: {added:+.0f} ms", added <= ADDED_BAR_MS, f"+{ADDED_BAR_MS:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="for each delay")
    parser.add_argument("--loss-minutes", type=float, default=1.0, help="in real time, for each receiver")
    arguments = parser.parse_args()
    worst_gap, worst_drift = 0.0, 0.0

    async def lose(seed: int) -> None:
        nonlocal worst_gap, worst_drift
        gap, drift = await virtual_loss(seed)
        worst_gap, worst_drift = max(worst_gap, gap), max(worst_drift, drift)

    for seed in range(VIRTUAL_SEEDS):
        run_in_virtual_time(lose(seed))
    met = worst_drift <= DRIFT_BAR_MS and worst_gap <= GAP_BAR_MS
    figures = f"drift {worst_drift:.0f} ms, longest gap {worst_gap:.0f} ms"
    calls = f"{VIRTUAL_SEEDS} calls of {VIRTUAL_MINUTES} min, virtual clock"
    say(f"2 % lost, {calls}, worst: {figures}", met, "20 and 100 ms")
    asyncio.run(measure(arguments.seconds, arguments.loss_minutes))


if __name__ == "__main__":
    main()
