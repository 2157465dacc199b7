"""What Opus costs for 20 ms, and what is left of the voice: ours beside aiortc's codec, in the same run.

    python benchmarks/opus_frames.py

CPU time of this thread for a frame of synthetic speech (espeak-ng, 24 kHz), medians over rounds in which all
take turns. Distance: root mean square difference of the loudness of some 20 bands of frequency, where it is
loud enough to be heard; a measure of what the codec changed, not of how it sounds.
"""

import asyncio
import fractions
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import av
import numpy as np
import numpy.typing as npt
from aiortc.codecs.opus import OpusDecoder, OpusEncoder
from aiortc.jitterbuffer import JitterFrame

from agentfield_adapters.local.mouth.caller import spoken
from agentfield_adapters.media.libopus import Decoder, Encoder

RATE_HZ = 24_000
FRAME_SAMPLES = RATE_HZ // 50
ROUNDS = 9
LATE_SAMPLES_MAX = 600
WINDOW, STEP = 512, 256
SENTENCES = (
    ("en-us+f3", "where is order number nine, it should have been here on thursday morning"),
    ("en-us", "the shipment left us this morning and it will be with you tomorrow before noon"),
    ("en-us+m3", "six thick thistle sticks, cancel my subscription please"),
)
Samples = npt.NDArray[np.int16]
Result = TypeVar("Result")


async def voices() -> Samples:
    return np.concatenate([await spoken(text, voice=voice, rate_hz=RATE_HZ) for voice, text in SENTENCES])


@dataclass(frozen=True)
class Coded:
    """CPU seconds for everything that was said, and what is heard of it."""

    encode_s: float
    decode_s: float
    heard: bytes


def ours(frames: list[bytes], *, loss_percent: int) -> Coded:
    encoder, decoder = Encoder(rate_hz=RATE_HZ), Decoder(rate_hz=RATE_HZ)
    encoder.expect_loss(loss_percent)
    packets, encode_s = timed(lambda: [encoder.encoded(frame) for frame in frames])
    heard, decode_s = timed(lambda: [decoder.decoded(packet) for packet in packets])
    return Coded(encode_s, decode_s, b"".join(heard))


def stock(frames: list[bytes]) -> Coded:
    """aiortc's encoder makes 48 kHz in stereo of everything, and its decoder gives that."""
    encoder, decoder, listener = OpusEncoder(), OpusDecoder(), Decoder(rate_hz=RATE_HZ)
    given: list[Any] = []
    for number, pcm in enumerate(frames):
        frame: Any = av.AudioFrame(format="s16", layout="mono", samples=FRAME_SAMPLES)
        frame.planes[0].update(pcm)
        frame.sample_rate, frame.time_base = RATE_HZ, fractions.Fraction(1, RATE_HZ)
        frame.pts = number * FRAME_SAMPLES
        given.append(frame)
    encoded, encode_s = timed(lambda: [encoder.encode(frame)[0] for frame in given])
    packets = [JitterFrame(data, number * 960) for number, made in enumerate(encoded) for data in made]
    _, decode_s = timed(lambda: [decoder.decode(packet) for packet in packets])
    return Coded(encode_s, decode_s, b"".join(listener.decoded(packet.data) for packet in packets))


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    began_s = time.thread_time()
    result = work()
    return result, time.thread_time() - began_s


def distance_db(said: Samples, heard: Samples) -> float:
    """How far apart both are, once the codec's delay is taken out."""
    heard = np.concatenate([heard, np.zeros(LATE_SAMPLES_MAX + len(said), np.int16)])
    cut = said[RATE_HZ : 3 * RATE_HZ].astype(float)
    late = max(range(LATE_SAMPLES_MAX), key=lambda at: float(cut @ heard[RATE_HZ + at : 3 * RATE_HZ + at]))
    first, second = bands(said), bands(heard[late : late + len(said)])
    loud = first.mean(axis=1) > 0.05 * first.mean(axis=1).max()
    return float(np.sqrt(np.mean((20 * np.log10(first[loud] / second[loud])) ** 2)))


def bands(pcm: Samples) -> npt.NDArray[np.float64]:
    """Loudness over time, in bands as wide as the ear's."""
    at = range(0, len(pcm) - WINDOW, STEP)
    spectra = np.array(
        [np.abs(np.fft.rfft(pcm[begin : begin + WINDOW] * np.hanning(WINDOW))) for begin in at]
    )
    edges = np.unique(np.geomspace(3, WINDOW // 2, 22).astype(int))
    powers = [(spectra[:, low:high] ** 2).mean(axis=1) for low, high in pairwise(edges)]
    loudness: npt.NDArray[np.float64] = np.sqrt(np.array(powers)).T + 30
    return loudness


def main() -> None:
    """Print a line for each codec."""
    said = asyncio.run(voices())
    said = said[: len(said) // FRAME_SAMPLES * FRAME_SAMPLES]
    frames = [part.tobytes() for part in said.reshape(-1, FRAME_SAMPLES)]
    codecs: dict[str, Callable[[], Coded]] = {
        "ours": lambda: ours(frames, loss_percent=0),
        "ours, where packets get lost": lambda: ours(frames, loss_percent=5),
        "aiortc": lambda: stock(frames),
    }
    rounds = [{name: codec() for name, codec in codecs.items()} for _ in range(ROUNDS)]
    for name in codecs:
        each = [one[name] for one in rounds]
        encode_us = statistics.median(one.encode_s for one in each) / len(frames) * 1e6
        decode_us = statistics.median(one.decode_s for one in each) / len(frames) * 1e6
        times = statistics.median(both_s(one["aiortc"]) / both_s(one[name]) for one in rounds)
        far_db = distance_db(said, np.frombuffer(each[0].heard, dtype=np.int16))
        print(
            f"{name:30} encode {encode_us:4.0f} µs, decode {decode_us:4.0f} µs, distance {far_db:.1f} dB",
            end="",
        )
        print(f"; aiortc takes {times:.1f} times that")


def both_s(coded: Coded) -> float:
    return coded.encode_s + coded.decode_s


if __name__ == "__main__":
    main()
