"""Parts that need no process: the turn detector, grammars, G.711, the paced speech."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_adapters.local.call.speech import CallPlayback
from agentfield_adapters.local.ears.grammar import guess, is_jsgf, words_of
from agentfield_adapters.local.ears.turn_detector import NOTICED_LATE_MS, Change, TurnDetector, TurnRules
from agentfield_adapters.local.ears.voice_activity import CHUNK_MS
from agentfield_adapters.media.g711 import A_LAW, MU_LAW, Companding
from agentfield_rt.frames import FRAME_BYTES


def changes(likelihoods: list[float], silence_ms: int = 320) -> list[Change]:
    """Return what a detector says, without the moments when nothing changes."""
    detector = TurnDetector(TurnRules(0.5, silence_ms))
    return [change for value in likelihoods if (change := detector.feed(value)) is not Change.NONE]


def test_a_turn_starts_after_three_chunks_and_ends_after_the_silence() -> None:
    assert changes([0.9] * 2 + [0.0] * 20) == []
    ended = (320 - NOTICED_LATE_MS) // CHUNK_MS
    assert changes([0.9] * 3 + [0.0] * ended) == [Change.STARTED, Change.SETTLED, Change.ENDED]
    assert changes([0.9] * 3 + [0.0] * (ended - 1)) == [Change.STARTED, Change.SETTLED]


def test_speech_in_the_silence_takes_the_end_back() -> None:
    spoken = [0.9] * 3 + [0.0] * 5 + [0.9] + [0.0] * 10
    assert changes(spoken) == [Change.STARTED, Change.SETTLED, Change.RESUMED, Change.SETTLED, Change.ENDED]


@given(st.lists(st.floats(0, 1), max_size=300), st.integers(64, 1000))
def test_a_turn_always_settles_before_it_ends(likelihoods: list[float], silence_ms: int) -> None:
    seen = changes(likelihoods, silence_ms)
    for before, after in pairwise(seen):
        assert (after is Change.ENDED) == (before is Change.SETTLED and after is not Change.RESUMED)


def test_the_words_of_a_grammar_are_found_without_its_rules_and_weights() -> None:
    grammar = """#JSGF V1.0 UTF-8 en;
    grammar desk; // not these words
    public <request> = [please] (cancel | /0.5/ find) my order's <number> {tag} | I'd wait;
    <number> = one | two;
    """
    assert words_of(grammar) == {"please", "cancel", "find", "my", "order's", "one", "two", "i'd", "wait"}
    assert is_jsgf(grammar) and not is_jsgf("A prompt.") and not is_jsgf(None)


def test_a_plural_is_said_like_its_singular_with_an_s() -> None:
    known = {"order": ["AO R D ER"], "box": ["B AA K S"], "cat": ["K AE T"]}
    assert guess("orders", known) == ["AO R D ER Z"]
    assert guess("box's", known) == ["B AA K S IH Z"]
    assert guess("cats", known) == ["K AE T S"]
    assert guess("dog", known) == []


@pytest.mark.parametrize("law", [MU_LAW, A_LAW])
def test_every_telephone_code_survives_the_way_there_and_back(law: Companding) -> None:
    codes = bytes(range(256))
    samples = law.decoded(codes)
    assert np.array_equal(law.decoded(law.encoded(samples)), samples)
    assert np.abs(law.decoded(law.encoded(np.array([1000], dtype=np.int16))).astype(int) - 1000).max() < 40


class Told:
    """A spoken part that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def began(self) -> None:
        self.said.append("(began)")

    def word(self, text: str) -> None:
        self.said.append(text)

    def audio(self, pcm: bytes) -> None:
        raise AssertionError("a call's audio is not sent as events")


@pytest.mark.asyncio
async def test_a_word_is_told_when_its_first_sample_leaves() -> None:
    playback, part = CallPlayback(), Told()

    async def words() -> AsyncIterator[tuple[str, bytes]]:
        yield "one ", b"\1\0" * FRAME_BYTES
        yield "two", b"\2\0" * (FRAME_BYTES // 4)

    playing = asyncio.create_task(playback.play(words(), part))
    await asyncio.sleep(0)
    assert part.said == []
    frames = [playback.next_frame()]
    assert part.said == ["(began)", "one "]
    frames += [playback.next_frame(), playback.next_frame()]
    await playing
    assert part.said == ["(began)", "one ", "two"]
    assert playback.played_ms == 50
    assert b"".join(frames).rstrip(b"\0").count(b"\2\0") == FRAME_BYTES // 4 - 1
    assert playback.next_frame() == bytes(FRAME_BYTES)


@pytest.mark.asyncio
async def test_what_was_cleared_is_never_played() -> None:
    playback, part = CallPlayback(), Told()

    async def words() -> AsyncIterator[tuple[str, bytes]]:
        for word in ("one ", "two ", "three"):
            yield word, b"\1\0" * FRAME_BYTES

    playing = asyncio.create_task(playback.play(words(), part))
    await asyncio.sleep(0)
    playback.next_frame()
    playing.cancel()
    playback.clear()
    assert playback.next_frame() == bytes(FRAME_BYTES)
    assert part.said == ["(began)", "one "]
    assert playback.played_ms == 20
