"""Live two-way WebRTC calls on one core, beside stock aiortc and Pipecat's small WebRTC transport.

    python benchmarks/webrtc_calls.py [--peers FOLDER] [--capacity]

Each server is a process of its own, bound to one core; the callers are in this process, on another. Everybody
speaks all the time: Opus from 48 kHz mono to the server, speech of 24 kHz back.

- ours: everything of a call whose media we carry: Opus and SRTP both ways, receive buffer, controller, voice
  session and player, a journal on disk. The provider is in the process and only takes and gives PCM.
- aiortc: decodes what it hears and encodes PCM that is there, nothing else.
- Pipecat: its transport's input, one processor that speaks, its output.

Counted: CPU seconds of the server's process for 50 frames each way, a second of a call, median over rounds in
which the servers take turns; the machine may be in use. With --capacity also: how many calls go on at once
before frames run late (a caller or the server gets under 49.5 frames a second, 1 % of frames come 20 ms late,
or 1 % of the server's timers do), which does want a machine for itself.

    pip install --target FOLDER/pipecat "pipecat-ai[webrtc]"
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from benchmarks.call_load import Callers, Heard
from benchmarks.peers.call_server import Load
from benchmarks.peers.speech import FRAME_S

SERVER_CORE, LOAD_CORE = 0, 1
CALLS, STEP, CALLS_MAX = 16, 8, 240
ROUNDS = 5
SETTLE_S, MEASURE_S = 2.0, 5.0
ANSWER_S_MAX = 60.0
TRIES = 6
FRAMES_SHARE_MIN = 0.95
"""Who is not given a core sends fewer frames, and must not look cheaper for it."""

FRAMES_MIN = 0.99 / FRAME_S
LATE_SHARE_MAX, LOOP_LATE_MS_MAX = 0.01, 20.0
OURS, STOCK, PIPECAT = "this", "aiortc", "Pipecat"
SCRIPTS = {OURS: "runtime_calls", STOCK: "aiortc_calls", PIPECAT: "pipecat_calls"}
BARS = {STOCK: 1.5, PIPECAT: 2.0}


class CallServer:
    """A server's process, spoken to in lines of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process = process
        self._asks, self._says = process.stdin, process.stdout

    async def ask(self, **what: Any) -> Any:
        self._asks.write(json.dumps(what).encode() + b"\n")
        async with asyncio.timeout(ANSWER_S_MAX):
            line = await self._says.readline()
        if not line:
            raise RuntimeError("a server's process has ended: see what it wrote above")
        return json.loads(line)

    async def answered(self, offer: str) -> str:
        return cast(str, (await self.ask(offer=offer))["answer"])

    async def stop(self) -> None:
        self._asks.close()
        async with asyncio.timeout(ANSWER_S_MAX):
            await self._process.wait()


@asynccontextmanager
async def serving(name: str, peers: Path | None) -> AsyncGenerator[tuple[CallServer, Callers]]:
    """A server, and callers who have not called yet."""
    here = Path(__file__).parent
    paths = [str(here.parent)]
    if name == PIPECAT and peers is not None:
        paths.insert(0, str(peers / "pipecat"))
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", here / "peers" / f"{SCRIPTS[name]}.py", str(SERVER_CORE)),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TMPDIR": folder},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        server, callers = CallServer(process), Callers()
        try:
            yield server, callers
        finally:
            await callers.leave()
            await server.stop()


async def measured(callers: Callers, server: CallServer) -> tuple[Load, Heard]:
    await asyncio.sleep(SETTLE_S)
    load, heard = await callers.heard(server.ask(measure_s=MEASURE_S))
    return load, heard


async def cpu_ms(name: str, calls: int, peers: Path | None) -> float:
    """CPU milliseconds for a second of a call: for 50 frames heard and 50 sent."""
    async with serving(name, peers) as (server, callers):
        await callers.dial(calls, server.answered)
        tries = [await measured(callers, server)]
        while frames(*tries[-1]) < FRAMES_SHARE_MIN * calls / FRAME_S and len(tries) < TRIES:
            tries.append(await measured(callers, server))
    if len(tries) == TRIES:
        print(f"  {name}: the machine is too busy for {calls} calls")
    load, heard = max(tries, key=lambda each: frames(*each))
    return load["cpu_s"] / frames(load, heard) / FRAME_S * 1e3


def frames(load: Load, heard: Heard) -> float:
    """Frames a second that went through, in the direction in which fewer did."""
    return max(min(load["heard_frames"], heard.frames), 1.0)


async def capacity(name: str, peers: Path | None) -> int:
    """How many calls at most ran on time; as many as do not have a second try."""
    most = 0
    async with serving(name, peers) as (server, callers):
        while len(callers) < CALLS_MAX:
            await callers.dial(STEP, server.answered)
            load, heard = await measured(callers, server)
            if not on_time(len(callers), load, heard):
                load, heard = await measured(callers, server)
            print(
                f"  {name:8} {len(callers):4} calls: {load['cpu_s'] * 100:5.1f} % of the core,"
                f" {heard.late_share * 100:4.1f} % late, loop {load['late_ms']:5.1f} ms late",
                flush=True,
            )
            if not on_time(len(callers), load, heard):
                break
            most = len(callers)
    return most


def on_time(calls: int, load: Load, heard: Heard) -> bool:
    return (
        frames(load, heard) >= FRAMES_MIN * calls
        and heard.late_share <= LATE_SHARE_MAX
        and load["late_ms"] < LOOP_LATE_MS_MAX
    )


async def compare(names: list[str], peers: Path | None, *, calls: int, rounds: int) -> None:
    """Print what a call costs each of them."""
    costs: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            costs[name].append(await cpu_ms(name, calls, peers))
    for name in names:
        cost = statistics.median(costs[name])
        times = statistics.median(c / o for c, o in zip(costs[name], costs[OURS], strict=True))
        bar = f" (bar: {BARS[name]})" if name in BARS else ""
        print(f"{name:8} {cost:5.1f} ms of CPU a second of a call: {times:4.1f} times ours{bar}")


async def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, help="where the peers are installed")
    parser.add_argument("--calls", type=int, default=CALLS, help="at once, for the CPU figure")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--capacity", action="store_true", help="also search for the most calls on time")
    options = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    names = [OURS, STOCK, *([PIPECAT] if options.peers and (options.peers / "pipecat").is_dir() else [])]
    await compare(names, options.peers, calls=options.calls, rounds=options.rounds)
    if options.capacity:
        most = {name: await capacity(name, options.peers) for name in names}
        for name in names:
            times = most[OURS] / max(most[name], 1)
            print(f"{name:8} {most[name]:4} calls on time; ours {times:.1f} times that")


if __name__ == "__main__":
    asyncio.run(main())
