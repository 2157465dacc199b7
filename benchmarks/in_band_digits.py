"""How well dialled digits are heard as tones, how seldom in speech, and what listening costs.

Run: python benchmarks/in_band_digits.py [--minutes 60]

Speech is synthetic: random words of a pronouncing dictionary in several voices, as it is and over a
telephone's µ-law. Digits are all sixteen, 50 ms each with 50 ms between them. The cost is a ratio: against
decoding the same audio from Opus packets in the same run, which a call over WebRTC does anyway.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Callable, Iterable
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from agentfield_adapters.local.mouth.voice import Mouth
from agentfield_adapters.media.dtmf.in_band import COLUMNS_HZ, KEYS, ROWS_HZ, InBandDigits
from agentfield_adapters.media.g711 import MU_LAW
from agentfield_adapters.media.libopus import Decoder, Encoder
from agentfield_adapters.media.resampling import Resampler

Samples = npt.NDArray[np.int16]

RATE_HZ, TELEPHONE_RATE_HZ = 24_000, 8_000
FRAME = RATE_HZ // 50
VOICES = ("en-us+f2", "en-us+f3", "en-us+f5", "en-us+m1", "en-us+m7", "en-us")
SPEEDS = (0.7, 1.0, 1.4)
WORDS = 12
ROUNDS = 20
COST_ROUNDS = 7


def heard(samples: Samples, rate_hz: int) -> str:
    """Return the digits that are found."""
    detector, step = InBandDigits(rate_hz), rate_hz // 50
    return "".join(detector.push(samples[at : at + step].tobytes()) for at in range(0, len(samples), step))


def words() -> list[str]:
    """Return every word of the recogniser's dictionary."""
    dictionary = files("pocketsphinx") / "model" / "en-us" / "cmudict-en-us.dict"
    lines = dictionary.read_text(encoding="utf-8").splitlines()
    return [word for line in lines if (word := line.split(" ", 1)[0]).isalpha()]


async def false_digits(minutes: int) -> None:
    """Count the digits that are found in speech."""
    dictionary, dice = words(), random.Random(1)
    found, spoken_s = {"wide": "", "telephone": ""}, 0.0
    mouth = Mouth()
    await mouth.start()
    while spoken_s < minutes * 60:
        text = " ".join(dice.choices(dictionary, k=WORDS))
        speaking = mouth.speak(text, voice=dice.choice(VOICES), speed=dice.choice(SPEEDS), rate_hz=RATE_HZ)
        samples = np.frombuffer(b"".join([pcm async for _, pcm in speaking]), np.int16)
        spoken_s += len(samples) / RATE_HZ
        found["wide"] += heard(samples, RATE_HZ)
        narrow = Resampler(RATE_HZ, TELEPHONE_RATE_HZ).resampled(samples)
        found["telephone"] += heard(MU_LAW.decoded(MU_LAW.encoded(narrow)), TELEPHONE_RATE_HZ)
    await mouth.stop()
    for band, digits in found.items():
        print(f"speech, {band}: {len(digits)} false digits in {spoken_s / 60:.0f} minutes {digits}")


def dialled(rate_hz: int, *, level_db: float = -12.0, ms: int = 50) -> Samples:
    """Return all sixteen keys, one after the other."""
    at_s = np.arange(rate_hz * ms // 1000) / rate_hz
    parts = [np.zeros(len(at_s))]
    for number in range(len(KEYS)):
        row, column = divmod(number, len(COLUMNS_HZ))
        wave = np.sin(2 * np.pi * ROWS_HZ[row] * at_s) + np.sin(2 * np.pi * COLUMNS_HZ[column] * at_s)
        parts += [wave * 32_768 * 10 ** (level_db / 20), np.zeros(len(at_s))]
    return np.concatenate([*parts, np.zeros(len(at_s))]).astype(np.int16)


def noisy(samples: Samples, snr_db: float, dice: np.random.Generator) -> Samples:
    """Return `samples` with white noise so far below the tones."""
    power = float(np.mean(samples[samples != 0].astype(float) ** 2))
    noise = dice.standard_normal(len(samples)) * np.sqrt(power / 10 ** (snr_db / 10))
    mixed: Samples = np.clip(samples + noise, -32_768, 32_767).astype(np.int16)
    return mixed


def through_opus(samples: Samples) -> Samples:
    """Return what a call over WebRTC makes of `samples`."""
    encoder, decoder = Encoder(rate_hz=RATE_HZ), Decoder(rate_hz=RATE_HZ)
    frames = (samples[at : at + FRAME] for at in range(0, len(samples) - FRAME + 1, FRAME))
    return np.frombuffer(
        b"".join(decoder.decoded(encoder.encoded(frame.tobytes())) for frame in frames), np.int16
    )


def found_share(heard_each: Iterable[str]) -> str:
    """Return how many of the sequences came out right."""
    right = [digits == KEYS for digits in heard_each]
    return f"{sum(right)} of {len(right)}"


def dialling() -> None:
    """Count the sequences of sixteen that come out right."""
    dice = np.random.default_rng(1)
    clean, narrow = dialled(RATE_HZ), dialled(TELEPHONE_RATE_HZ)
    for snr_db in (30, 20, 15, 12):
        wide = found_share(heard(noisy(clean, snr_db, dice), RATE_HZ) for _ in range(ROUNDS))
        line = found_share(
            heard(MU_LAW.decoded(MU_LAW.encoded(noisy(narrow, snr_db, dice))), TELEPHONE_RATE_HZ)
            for _ in range(ROUNDS)
        )
        opus = found_share(heard(through_opus(noisy(clean, snr_db, dice)), RATE_HZ) for _ in range(ROUNDS))
        print(f"sixteen digits, noise {snr_db} dB below: {wide}; over µ-law {line}; through Opus {opus}")


def cost() -> None:
    """Print what listening costs, against decoding."""
    dice = np.random.default_rng(1)
    frames = [(dice.standard_normal(FRAME) * 3_000).astype(np.int16).tobytes() for _ in range(500)]
    encoder = Encoder(rate_hz=RATE_HZ)
    packets = [encoder.encoded(frame) for frame in frames]

    def median_s(make: Callable[[], Callable[[bytes], object]], pieces: list[bytes]) -> float:
        taken: list[float] = []
        for _ in range(COST_ROUNDS):
            take = make()
            began_s = time.process_time()
            for piece in pieces:
                take(piece)
            taken.append(time.process_time() - began_s)
        return statistics.median(taken)

    listening_s = median_s(lambda: InBandDigits(RATE_HZ).push, frames)
    decoding_s = median_s(lambda: Decoder(rate_hz=RATE_HZ).decoded, packets)
    print(
        f"listening costs {listening_s / 10 * 1000:.2f} ms a second of noise, "
        f"{listening_s / decoding_s:.2f} x decoding it from Opus"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=int, default=60, help="of speech")
    dialling()
    cost()
    asyncio.run(false_digits(parser.parse_args().minutes))
