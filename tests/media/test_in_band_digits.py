"""Digits heard as tones: all sixteen through what a call does to them, and none in speech."""

import asyncio
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfield_adapters.local.mouth.caller import VOICES, with_noise
from agentfield_adapters.local.mouth.voice import Mouth
from agentfield_adapters.media.dtmf import in_band
from agentfield_adapters.media.dtmf.in_band import KEYS, InBandDigits
from agentfield_adapters.media.g711 import A_LAW, MU_LAW, Companding
from agentfield_adapters.media.libopus import Decoder, Encoder
from agentfield_adapters.media.resampling import Resampler, Samples
from tests.media.tones import tone

SENTENCES = (
    "my number is five five five one two three four five",
    "zero one two three four five six seven eight nine ten eleven twelve",
    "please send a replacement for order number nine",
    "she sells sea shells by the sea shore",
    "moo boo zoo coo, who are you two, too",
    "will you win when you run one mile along the long lane",
    "sing a thing, ring the king, bring mum a plum",
    "I would like to talk to a person please",
)


def pause(duration_ms: float, rate_hz: int) -> Samples:
    return np.zeros(round(rate_hz * duration_ms / 1000), np.int16)


def dialled(
    digits: str = KEYS,
    *,
    rate_hz: int = 8_000,
    tone_ms: int = 80,
    pause_ms: float = 80,
    level_db: float = -10,
) -> Samples:
    """Somebody dials `digits`."""
    parts = [pause(pause_ms, rate_hz)]
    for digit in digits:
        parts += [tone(digit, duration_ms=tone_ms, rate_hz=rate_hz, level_db=level_db)]
        parts += [pause(pause_ms, rate_hz)]
    return np.concatenate(parts)


def heard(samples: Samples, *, rate_hz: int = 8_000, piece: int | None = None) -> str:
    """What is found in `samples` when they come in pieces, 20 ms each unless said otherwise."""
    detector, piece = InBandDigits(rate_hz), piece or rate_hz // 50
    pieces = (samples[at : at + piece] for at in range(0, len(samples), piece))
    return "".join(detector.push(samples.astype("<i2").tobytes()) for samples in pieces)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("level_db", [-6.1, -24, -36])
def test_every_key_is_heard_as_short_and_as_faint_as_it_may_be(rate_hz: int, level_db: float) -> None:
    samples = dialled(rate_hz=rate_hz, tone_ms=40, pause_ms=40, level_db=level_db)
    assert heard(samples, rate_hz=rate_hz) == KEYS


@pytest.mark.parametrize("law", [MU_LAW, A_LAW], ids=["mu_law", "a_law"])
def test_every_key_is_heard_through_a_telephone_line(law: Companding) -> None:
    assert heard(law.decoded(law.encoded(dialled(tone_ms=50, pause_ms=50)))) == KEYS


def test_every_key_is_heard_through_opus() -> None:
    samples = dialled(rate_hz=24_000, tone_ms=80, pause_ms=80)
    encoder, decoder = Encoder(rate_hz=24_000), Decoder(rate_hz=24_000)
    through = b"".join(
        decoder.decoded(encoder.encoded(samples[at : at + 480].tobytes()))
        for at in range(0, len(samples) - 479, 480)
    )
    assert heard(np.frombuffer(through, np.int16), rate_hz=24_000) == KEYS


@pytest.mark.parametrize("rate_hz", [8_000, 24_000])
def test_every_key_is_heard_over_noise_15_db_below(rate_hz: int) -> None:
    clean = dialled(rate_hz=rate_hz, tone_ms=80)
    assert heard(with_noise(clean, noise_db=-10 - 15), rate_hz=rate_hz) == KEYS


@pytest.mark.parametrize("off", [0.985, 1.015])
def test_a_keypad_may_be_out_of_tune_by_one_and_a_half_per_cent(off: float) -> None:
    """Samples taken as if at another rate."""
    assert heard(dialled(rate_hz=round(8_000 / off))) == KEYS


def test_a_key_held_down_counts_once_and_pressed_again_counts_again() -> None:
    assert heard(dialled("7", tone_ms=3_000)) == "7"
    assert heard(dialled("7711", tone_ms=60, pause_ms=60)) == "7711"


def at_every_moment(samples: Samples) -> set[str]:
    """What is heard in `samples` wherever the windows happen to begin."""
    return {heard(np.concatenate((np.zeros(late, np.int16), samples))) for late in range(0, 104, 4)}


def test_a_tone_with_a_hole_of_ten_milliseconds_is_one_key() -> None:
    samples = np.concatenate((dialled("5", pause_ms=10), dialled("5", pause_ms=0), pause(80, 8_000)))
    assert at_every_moment(samples) == {"5"}


def test_a_tone_of_twenty_milliseconds_is_none() -> None:
    assert at_every_moment(dialled("5", tone_ms=20)) == {""}


@settings(deadline=None, max_examples=50)
@given(st.text(KEYS, min_size=1, max_size=6), st.integers(1, 400), st.integers(0, 400))
def test_what_is_heard_depends_on_no_piece_and_no_moment(digits: str, piece: int, before: int) -> None:
    samples = np.concatenate((np.zeros(before, np.int16), dialled(digits, tone_ms=50, pause_ms=50)))
    assert heard(samples, piece=piece) == digits


@pytest.mark.parametrize("hz", [440, 697, 770, 1_209, 1_633, 2_000])
def test_a_single_tone_is_no_key(hz: int) -> None:
    wave = np.sin(2 * np.pi * hz * np.arange(8_000) / 8_000) * 8_000
    assert heard(wave.astype(np.int16)) == ""


@cache
def spoken(voice: str, rate_hz: int) -> list[Samples]:
    async def speak() -> list[Samples]:
        mouth = Mouth()
        await mouth.start()
        try:
            return [
                np.frombuffer(
                    b"".join(
                        [pcm async for _, pcm in mouth.speak(text, voice=voice, speed=1.0, rate_hz=rate_hz)]
                    ),
                    np.int16,
                )
                for text in SENTENCES
            ]
        finally:
            await mouth.stop()

    return asyncio.run(speak())


def found_in_speech() -> str:
    """Digits found in half a minute of each of three voices, as they are and over a telephone."""
    found = ""
    for voice in VOICES:
        for samples in spoken(voice, 24_000):
            found += heard(samples, rate_hz=24_000)
            narrow = Resampler(24_000, 8_000).resampled(samples)
            found += heard(MU_LAW.decoded(MU_LAW.encoded(narrow)))
    return found


def test_no_digit_is_heard_in_speech() -> None:
    seconds = sum(len(samples) for voice in VOICES for samples in spoken(voice, 24_000)) / 24_000
    assert seconds > 60
    assert found_in_speech() == ""


def test_a_digit_is_heard_between_two_sentences() -> None:
    first, second = spoken(VOICES[0], 24_000)[:2]
    samples = np.concatenate((first, dialled("42#", rate_hz=24_000), second))
    assert heard(samples, rate_hz=24_000) == "42#"


Check = Callable[[], None]


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        ("_IN_TONES_MIN", 0.0, test_no_digit_is_heard_in_speech),
        ("_WINDOWS_ON", 1, test_a_tone_of_twenty_milliseconds_is_none),
        ("_WINDOWS_ON", 4, lambda: test_every_key_is_heard_as_short_and_as_faint_as_it_may_be(8_000, -24)),
        ("_WINDOWS_OFF", 8, test_a_key_held_down_counts_once_and_pressed_again_counts_again),
        ("_WINDOWS_OFF", 2, test_a_tone_with_a_hole_of_ten_milliseconds_is_one_key),
        ("_TWIST_MAX", 1e9, lambda: test_a_single_tone_is_no_key(697)),
    ],
    ids=["speech", "click", "short", "pause", "hole", "twist"],
)
def test_a_wrong_threshold_turns_the_tests_red(
    name: str, value: float, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_band, name, value)
    with pytest.raises(AssertionError):
        check()
