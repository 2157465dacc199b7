"""pocketsphinx with one grammar: words while a turn is spoken, and the whole turn once it is over.

Two decoders, because one that followed a turn live is spoilt for deciding what it was. Runs in the
recogniser's process only: it holds the interpreter for tens of milliseconds.
"""

from __future__ import annotations

import importlib
import math
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from agentfield_adapters.local.ear_rate import EAR_RATE_HZ
from agentfield_adapters.local.ears.grammar import cut, guess, words_of

# Below this, speech fits nothing the grammar allows. Chosen, with the dither and the search, on five voices
# and 65 sentences that benchmarks/recognition.py, which counts the result, does not use.
SCORE_MIN = -3.7
LIVE_SCORE_MIN = -3.0  # stricter: a word that was shown cannot be taken back
DITHER_DB = -30.0  # against the speech: digitally silent gaps mislead the decoder
_SCORE_SCALE = 1024  # without a second, best-path search, pocketsphinx reports logarithms this much too small
_SCORE_NONE = -99.0
_SMALLEST = 1e-308


# It publishes no types; this module is where it is confined.
_pocketsphinx: Final[Any] = importlib.import_module("pocketsphinx")


class GrammarUnusable(Exception):
    """A grammar has a mistake, or a word nobody knows how to say."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a decoder makes of a turn.

    Attributes:
        score: Mean natural logarithm of the acoustic score per 10 ms of the words.
    """

    words: list[str]
    score: float


class Dictionary:
    """The pronunciations in the model that comes with pocketsphinx."""

    def __init__(self) -> None:
        path = Path(str(_pocketsphinx.get_model_path("en-us/cmudict-en-us.dict")))
        self._lines = path.read_text(encoding="utf-8").splitlines()

    def cut_for(self, grammar: str) -> str:
        """Return a dictionary of the grammar's words only.

        Raises:
            GrammarUnusable: A word is not in the dictionary and cannot be guessed.
        """
        words = words_of(grammar)
        stems = frozenset(word.removesuffix("'s").removesuffix("s") for word in words)
        known = cut(self._lines, words | stems)
        entries: list[str] = []
        for word in sorted(words):
            pronunciations = known.get(word) or guess(word, known)
            if not pronunciations:
                raise GrammarUnusable(f"the word '{word}' has no known pronunciation")
            for index, phones in enumerate(pronunciations, start=1):
                entries.append(f"{word}{f'({index})' if index > 1 else ''} {phones}")
        return "\n".join(entries) + "\n"


class GrammarDecoder:
    """Decodes turns of one conversation with one grammar.

    Raises:
        GrammarUnusable: The grammar has a mistake or an unknown word.
    """

    def __init__(self, grammar: str, dictionary: Dictionary) -> None:
        self._grammar = grammar
        self._entries = dictionary.cut_for(grammar)
        self._live: Any = self._new_decoder()
        self._whole: Any = self._new_decoder()
        self._in_turn = False

    def begin(self) -> None:
        """Begin to follow a turn."""
        self.end()
        self._live.start_utt()
        self._in_turn = True

    def follow(self, pcm: bytes) -> Hypothesis:
        """Take more of the turn and return what it seems to be so far."""
        self._live.process_raw(pcm, False, False)
        return _hypothesis(self._live)

    def end(self) -> None:
        """Stop following a turn."""
        if self._in_turn:
            self._live.end_utt()
            self._in_turn = False

    def decide(self, turn: bytes) -> Hypothesis:
        """Return what a whole turn was: mono int16 PCM at 16 kHz."""
        self._whole.start_utt()
        self._whole.process_raw(dithered(turn), False, True)
        self._whole.end_utt()
        if self._whole.hyp() is None:  # it stopped in the middle of a sentence
            return Hypothesis([], _SCORE_NONE)
        return _hypothesis(self._whole)

    def _new_decoder(self) -> Any:
        with tempfile.TemporaryDirectory(prefix="grammar-") as folder:
            dictionary, grammar = Path(folder, "words.dict"), Path(folder, "turn.gram")
            dictionary.write_text(self._entries, encoding="utf-8")
            grammar.write_text(self._grammar, encoding="utf-8")
            config = _pocketsphinx.Config(
                lm=None,
                dict=str(dictionary),
                jsgf=str(grammar),
                samprate=EAR_RATE_HZ,
                cmn="batch",
                bestpath=False,  # the second search is right less often here, and costs time
                loglevel="FATAL",
            )
            try:
                return _pocketsphinx.Decoder(config)
            except (RuntimeError, ValueError):
                raise GrammarUnusable("the text is not a JSGF grammar with a public rule") from None


def dithered(turn: bytes) -> bytes:
    """Return a turn with quiet white noise, always the same for the same length."""
    samples = np.frombuffer(turn, dtype="<i2").astype(np.float32)
    loud = samples[np.abs(samples) > 0.01 * 32768]
    if not len(loud):
        return turn
    level = float(np.sqrt(np.mean(loud**2))) * 10 ** (DITHER_DB / 20)
    noise = np.random.default_rng(0).standard_normal(len(samples), dtype=np.float32) * level
    return np.clip(samples + noise, -32768, 32767).astype("<i2").tobytes()


def _hypothesis(decoder: Any) -> Hypothesis:
    segments = list(_word_segments(decoder.seg()))
    frames = sum(segment.end_frame - segment.start_frame + 1 for segment in segments)
    if not frames:
        return Hypothesis([], _SCORE_NONE)
    scores = (math.log(max(segment.ascore, _SMALLEST)) for segment in segments)
    return Hypothesis(
        [segment.word.partition("(")[0] for segment in segments], _SCORE_SCALE * sum(scores) / frames
    )


def _word_segments(segments: Iterable[Any] | None) -> Iterator[Any]:
    """Leave out silences, noises and the marks of a sentence's ends."""
    return (segment for segment in segments or () if segment.word[0] not in "<([+")
