"""What a live local call costs: processor time of everything on this machine but its caller.

Counted: control plane, agent, provider, recogniser and voice, over the whole length of the call. The
caller is the synthetic one of `af demo --call`, in this process, which is not counted.
"""

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from agentfield_adapters.local.mouth.caller import silence, spoken
from agentfield_rt.cli.demo.call import make_call
from agentfield_rt.cli.demo.recording import RATE_HZ
from agentfield_rt.cli.http import PlaneClient
from agentfield_rt.testing.agent_process import agent_process

EXAMPLE = Path(__file__).parents[1] / "examples" / "voice_support.py"
QUESTIONS = ("where is order number nine", "what are your opening hours", "tell me a joke", "what time is it")
ANSWER_S = 6.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    tasks = Path(f"/proc/{pid}/task")
    children = [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]
    return [pid, *(member for child in children for member in family(child))]


def cpu_s(pids: list[int]) -> float:
    """Processor seconds these processes have used so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_S


async def caller_speech() -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """Questions with room for their answers."""
    pieces = [silence(1_500, rate_hz=RATE_HZ)]
    for question in QUESTIONS:
        pieces += [
            await spoken(question, voice="en-us+f3", rate_hz=RATE_HZ),
            silence(int(ANSWER_S * 1000), rate_hz=RATE_HZ),
        ]
    return np.concatenate(pieces)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1, help="calls at once")
    options = parser.parse_args()
    speech = await caller_speech()
    with tempfile.TemporaryDirectory() as folder:
        async with agent_process(EXAMPLE, Path(folder) / "data") as desk:
            before_s, started = 0.0, 0.0
            connected = 0

            def on_connected() -> None:
                nonlocal before_s, started, connected
                connected += 1
                if connected == options.calls:
                    before_s, started = cpu_s(family(desk.process.pid)), time.perf_counter()

            async def one_call() -> int:
                async with PlaneClient(desk.url) as client:
                    report = await make_call(client, speech, connected=on_connected)
                return sum(turn.understood for turn in report.turns)

            understood = await asyncio.gather(*(one_call() for _ in range(options.calls)))
            took_s = time.perf_counter() - started
            used_s = cpu_s(family(desk.process.pid)) - before_s
    share = used_s / took_s / options.calls * 100
    print(f"{options.calls} call(s) of {took_s:.0f} s, {sum(understood)} turns understood")
    print(f"CPU per live call {share:5.1f} % of one core   bar: 12 %")


if __name__ == "__main__":
    asyncio.run(main())
