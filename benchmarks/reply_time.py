"""What a caller waits for, read off one recording of both sides in a real browser.

Reply time: end of the caller's speech to the first audible sample of the answer (silence setting 320 ms).
Barge-in time: first sound of the caller to silence. Needs Chromium.
"""

import argparse
import asyncio
import statistics
import tempfile
from pathlib import Path

import numpy as np

from agentfield_adapters.local.mouth.caller import silence, spoken, write_wav
from agentfield_rt.testing.agent_process import agent_process
from agentfield_rt.testing.browser_call import browser_call
from agentfield_rt.testing.hearing import Recording

EXAMPLE = Path(__file__).parents[1] / "examples" / "voice_support.py"
RATE_HZ = 48_000
QUESTIONS = (
    "where is order number nine",
    "what are your opening hours",
    "where is order two",
    "what time is it",
    "tell me a joke",
    "where is order number nine",
    "thank you",
)
ANSWER_S = 7.0
STORY_S = 3.5


async def caller_recording(path: Path, voice: str) -> float:
    """Write what the caller says: questions with room for answers, then three times over a long story."""
    pieces = [silence(3_000, rate_hz=RATE_HZ)]
    for question in QUESTIONS:
        pieces += [
            await spoken(question, voice=voice, rate_hz=RATE_HZ),
            silence(int(ANSWER_S * 1000), rate_hz=RATE_HZ),
        ]
    for _ in range(3):
        pieces += [
            await spoken("tell me a long story", voice=voice, rate_hz=RATE_HZ),
            silence(int(STORY_S * 1000), rate_hz=RATE_HZ),
            await spoken("what time is it", voice=voice, rate_hz=RATE_HZ),
            silence(int(ANSWER_S * 1000), rate_hz=RATE_HZ),
        ]
    samples = np.concatenate(pieces)
    write_wav(path, samples, rate_hz=RATE_HZ)
    return len(samples) / RATE_HZ


async def one_call(folder: Path, voice: str, path: str) -> Recording:
    """One call of `voice` on a fresh order desk."""
    microphone = folder / "caller.wav"
    duration_s = await caller_recording(microphone, voice)
    async with (
        agent_process(EXAMPLE, folder / "data") as desk,
        browser_call(desk.url, microphone=microphone, query=f"path={path}") as call,
    ):
        await asyncio.sleep(duration_s)
        recording = await call.recording()
        await call.hang_up()
        return recording


def report(name: str, times_s: list[float], bar: str) -> None:
    """One row: how many, median, 95th percentile, worst."""
    if not times_s:
        print(f"{name:<28} none measured")
        return
    ordered = sorted(times_s)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    print(
        f"{name:<28} n={len(ordered):<3} median {statistics.median(ordered):.3f} s   "
        f"p95 {p95:.3f} s   max {ordered[-1]:.3f} s   {bar}"
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", choices=["webrtc", "websocket"], default="webrtc")
    parser.add_argument("--voices", nargs="*", default=["en-us+f2", "en-us+f3", "en-us+f5"])
    parser.add_argument("--keep", type=Path, help="folder for the recordings, as stereo WAV files")
    options = parser.parse_args()
    replies: list[float] = []
    barge_ins: list[float] = []
    for voice in options.voices:
        with tempfile.TemporaryDirectory() as folder:
            recording = await one_call(Path(folder), voice, options.path)
        if options.keep:
            recording.write(options.keep / f"{voice}.wav")
        replies += recording.reply_times_s()
        barge_ins += recording.barge_in_times_s()
    report("reply time", replies, "bar: median 0.55, p95 0.70")
    report("barge-in time", barge_ins, "bar: 0.30")


if __name__ == "__main__":
    asyncio.run(main())
