"""What a recording costs: its call on the event loop, and a thread beside it.

On the loop, hops (`benchmarks/hop.py`) for a frame of each side: spoken, sent, received and played. In the
thread, CPU time for a second of a call in which both talk, against PyAV encoding the same sound with the same
settings and doing nothing else.
"""

import asyncio
import statistics
import time
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from agentfield_adapters.media.recording import OggOpusEncoder
from agentfield_adapters.media.recording.ogg_opus import BITS_PER_S, COMPLEXITY
from agentfield_journal import QueuedContentStore
from agentfield_journal.content.store import MemoryContent
from agentfield_rt.frames import FRAME_BYTES, FRAME_MS, SAMPLE_RATE_HZ, AudioFrame, OutputAudio
from agentfield_rt.recording import Recordings, desk
from agentfield_rt.recording.desk import Desk, Event
from benchmarks.hop import each_s, hop_s

SECONDS = 30
ROUNDS = 5
FRAMES_A_SECOND = 1000 // FRAME_MS


def sound() -> npt.NDArray[np.int16]:
    """Both sides, noise that swells and fades as speech does: caller, agent."""
    noise = np.random.default_rng(1).standard_normal((2, SECONDS * SAMPLE_RATE_HZ)) * 3_000
    swell = np.abs(np.sin(np.arange(SECONDS * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ * np.pi * 3))
    return (noise * swell).astype("<i2")


def bare_s(both: npt.NDArray[np.int16]) -> float:
    """CPU seconds for PyAV with the sound of a second at a time, and nothing else."""
    began_s = time.thread_time()
    with av.open("/dev/null", "w", format="ogg") as opened:
        container: Any = opened
        options = {"compression_level": COMPLEXITY}
        stream: Any = container.add_stream("libopus", rate=SAMPLE_RATE_HZ, layout="stereo", options=options)
        stream.bit_rate = BITS_PER_S
        for number in range(SECONDS):
            second = both[:, number * SAMPLE_RATE_HZ : (number + 1) * SAMPLE_RATE_HZ]
            frame: Any = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(second.T).reshape(1, -1), format="s16", layout="stereo"
            )
            frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, number * SAMPLE_RATE_HZ
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return time.thread_time() - began_s


def ours_s(seconds: list[list[Event]]) -> float:
    """CPU seconds for the desk: clock, digests of both sides, encoder, digest of the file."""
    mixing = Desk(OggOpusEncoder(), 0.0)
    began_s = time.thread_time()
    for number, events in enumerate(seconds, 1):
        mixing.mix(events, float(number), ends=number == SECONDS)
    return time.thread_time() - began_s


def events_of(both: npt.NDArray[np.int16]) -> list[list[Event]]:
    """A call in which both talk all the time, second by second."""
    caller, agent = (side.tobytes() for side in both)
    seconds: list[list[Event]] = []
    for number in range(SECONDS * FRAMES_A_SECOND):
        if number % FRAMES_A_SECOND == 0:
            seconds.append([desk.Began("r")] if not number else [])
        at, at_s = slice(number * FRAME_BYTES, (number + 1) * FRAME_BYTES), number * FRAME_MS / 1000
        frame = AudioFrame(str(number), caller[at])
        seconds[-1] += [desk.Spoke(at_s, frame), desk.Sent(frame)]
        seconds[-1] += [desk.Came(OutputAudio("r", "i", agent[at])), desk.Played(at_s, FRAME_BYTES)]
    return seconds


async def on_the_loop() -> float:
    """Hops for a frame of each side, as a call tells its recording of them."""
    content = QueuedContentStore(MemoryContent())
    recording = Recordings(OggOpusEncoder, content).of("s", lambda _: None)
    recording.begin(plays=True)
    recording.began("r")
    frame, audio = AudioFrame("f", bytes(FRAME_BYTES)), OutputAudio("r", "i", bytes(FRAME_BYTES))

    async def told() -> None:
        recording.spoke(frame)
        recording.sent(frame)
        recording.received(audio)
        recording.played(FRAME_BYTES)

    hops = await each_s(told, 2_000) / await hop_s()
    await recording.close()
    await content.close()
    return hops


def main() -> None:
    both = sound()
    seconds = events_of(both)
    bare: list[float] = []
    ours: list[float] = []
    hops: list[float] = []
    for _ in range(ROUNDS):  # all in each round: what else the machine does hits all
        bare.append(bare_s(both))
        ours.append(ours_s(seconds))
        hops.append(asyncio.run(on_the_loop()))
    ratio = statistics.median(mine / theirs for mine, theirs in zip(ours, bare, strict=True))
    print(f"a second of a call in a thread   {statistics.median(ours) / SECONDS * 1000:6.2f} ms of CPU")
    print(f"  of PyAV encoding alone         {ratio:6.2f} x")
    print(f"a frame of each side on the loop {statistics.median(hops):6.2f} hops")


if __name__ == "__main__":
    main()
