"""One caller's ears: finds the turns in a stream of audio and has each recognised by the time it ends.

Recognition starts inside the silence that ends a turn and is thrown away when speech resumes, so it adds
nothing to the reply. Everything happens in the order of the audio, never of a clock: the same audio gives
the same calls of `Hearing`, however fast it comes.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from agentfield_adapters.local.ear_rate import EAR_RATE_HZ
from agentfield_adapters.local.ears.frames import Recognised
from agentfield_adapters.local.ears.recogniser import EarsFailed, Hears, Recognises
from agentfield_adapters.local.ears.turn_detector import ONSET_MS, Change, TurnDetector, TurnRules
from agentfield_adapters.local.ears.voice_activity import CHUNK_BYTES, CHUNK_MS, Activity, VoiceActivity

_log = logging.getLogger(__name__)

PRE_ROLL_MS = 320  # without it the first word is lost: speech is noticed late
COMMIT_MS_MIN = 100
RECOGNISE_S_MAX = 3.0
_BYTES_A_MS = EAR_RATE_HZ * 2 // 1000
PRE_ROLL_BYTES = PRE_ROLL_MS * _BYTES_A_MS
TURN_BYTES_MAX = 60_000 * _BYTES_A_MS  # of a longer turn, only the first minute is recognised
_CHUNKS_A_BREATH = 16  # half a second of audio, then the event loop may turn


@dataclass(frozen=True, slots=True)
class Heard:
    """A finished turn.

    Attributes:
        recognised: What it was; None when nobody listens for words, or the recogniser failed.
        duration_ms: Of the turn's audio.
    """

    recognised: Recognised | None
    duration_ms: int


class Hearing(Protocol):
    """Told what the ears notice, in the order of the audio."""

    def speech_started(self, at_ms: int) -> None:
        """Someone began to speak at `at_ms` of the audio."""
        ...

    def words_heard(self, words: str) -> None:
        """More words of the open turn; never taken back."""
        ...

    def speech_stopped(self, at_ms: int, heard: Heard) -> None:
        """The turn is over; `at_ms` is where its audio ends."""
        ...


class Listener:
    """Hears one caller.

    Args:
        recogniser: Shared by all callers.
        hearing: Told what is noticed.
        activity: Judges this caller's audio; by default silero's detector.
    """

    def __init__(self, recogniser: Recognises, hearing: Hearing, activity: Activity | None = None) -> None:
        self._recogniser = recogniser
        self._hearing = hearing
        self._ear: Hears = recogniser.ear(self._words_so_far)
        self._activity: Activity = activity or VoiceActivity()
        self._detector: TurnDetector | None = None
        self._grammar: str | None = None
        self._position_ms = 0
        self._carry = bytearray()
        self._turn = bytearray()  # pre-roll, then the turn; in push to talk all since the last commit
        self._fed_bytes = 0  # of the turn, to the recogniser
        self._recognising = False
        self._told_words: list[str] = []
        self._result: asyncio.Future[Recognised] | None = None

    @property
    def in_turn(self) -> bool:
        """Whether someone speaks, as far as the audio has come."""
        return self._detector is not None and self._detector.speaking

    def take_turns(self, rules: TurnRules | None) -> None:
        """Find turns by these rules; None is push to talk, where `commit` ends a turn."""
        if rules is None:
            self._detector = None
        elif self._detector is None:
            self._detector = TurnDetector(rules)
            self._forget_turn()
        else:
            self._detector.rules = rules

    async def expect(self, grammar: str | None) -> None:
        """Recognise the sentences of `grammar`; None recognises nothing.

        Raises:
            GrammarRefused: The grammar cannot be used; the one before still is.
            EarsFailed: The recogniser is gone.
        """
        if grammar is not None and grammar != self._grammar:
            await self._ear.expect(grammar)
        self._grammar = grammar

    async def hear(self, pcm: bytes) -> None:
        """Take more audio, mono int16 PCM at 16 kHz of any length."""
        if self._detector is None:
            self._keep(pcm)
            self._position_ms += len(pcm) // _BYTES_A_MS
            return
        self._carry += pcm
        chunks = 0
        while len(self._carry) >= CHUNK_BYTES:
            chunk = bytes(self._carry[:CHUNK_BYTES])
            del self._carry[:CHUNK_BYTES]
            await self._hear_chunk(chunk, self._detector)
            chunks += 1
            if chunks % _CHUNKS_A_BREATH == 0:
                await asyncio.sleep(0)

    async def commit(self) -> Heard | None:
        """End the turn by hand and return it, or None when less than 100 ms was heard."""
        if len(self._turn) < COMMIT_MS_MIN * _BYTES_A_MS:
            return None
        if not self.in_turn:
            await self._begin(live=False)
        if self._result is None:
            self._ask()
        heard = await self._finished()
        self.clear()
        return heard

    def clear(self) -> None:
        """Forget what was heard since the last turn, and an open one."""
        if self._detector is not None:
            self._detector.reset()
        self._carry.clear()
        self._forget_turn()

    def close(self) -> None:
        """Hear nothing any more."""
        self._forget_turn()
        self._recogniser.forget(self._ear)

    async def _hear_chunk(self, chunk: bytes, detector: TurnDetector) -> None:
        self._position_ms += CHUNK_MS
        change = detector.feed(self._activity.probability(chunk))
        self._keep(chunk)
        match change:
            case Change.STARTED:
                self._hearing.speech_started(self._position_ms - ONSET_MS)
                await self._begin(live=True)
            case Change.SETTLED:
                self._ask()
            case Change.RESUMED:
                self._take_back()
            case Change.ENDED:
                heard = await self._finished()
                self._forget_turn()
                self._hearing.speech_stopped(self._position_ms, heard)
            case Change.NONE if not detector.speaking:
                del self._turn[:-PRE_ROLL_BYTES]
            case Change.NONE:
                self._feed()

    def _keep(self, pcm: bytes) -> None:
        self._turn += pcm
        if not self.in_turn:
            del self._turn[:-TURN_BYTES_MAX]

    async def _begin(self, *, live: bool) -> None:
        self._recognising = False
        if self._grammar is None:
            return
        try:
            await self._ear.recover()
            self._ear.begin(live=live)
            self._recognising = True
            self._feed()
        except EarsFailed as error:
            _log.warning("a turn is not recognised: %s", error)

    def _feed(self) -> None:
        """Give the recogniser what it has not heard, unless it is busy with what may be the end."""
        if not self._recognising or self._result is not None:
            return
        news = bytes(self._turn[self._fed_bytes : TURN_BYTES_MAX])
        if not news:
            return
        try:
            self._ear.hear(news)
            self._fed_bytes += len(news)
        except EarsFailed:
            self._recognising = False  # the end of the turn tries again

    def _ask(self) -> None:
        self._feed()
        if not self._recognising:
            return
        try:
            self._result = self._ear.recognise()
        except EarsFailed:
            self._recognising = False

    def _take_back(self) -> None:
        if self._result is not None:
            self._result.cancel()
            self._result = None
        self._feed()

    async def _finished(self) -> Heard:
        recognised = await self._answer()
        if recognised is None and self._grammar is not None:  # the whole turn is still here: once more
            self._fed_bytes = 0
            self._result = None
            await self._begin(live=False)
            self._ask()
            recognised = await self._answer()
        return Heard(recognised, len(self._turn) // _BYTES_A_MS)

    async def _answer(self) -> Recognised | None:
        if self._result is None:
            return None
        try:
            async with asyncio.timeout(RECOGNISE_S_MAX):
                return await self._result
        except (EarsFailed, TimeoutError) as error:
            _log.warning("a turn is not recognised: %s", error)
            return None

    def _forget_turn(self) -> None:
        if self._result is not None:
            self._result.cancel()
        self._result = None
        self._recognising = False
        self._turn.clear()
        self._fed_bytes = 0
        self._told_words = []

    def _words_so_far(self, words: list[str]) -> None:
        """Tell the words that will not change: all but the last, and only if they go on from those told."""
        sure = words[:-1]
        told = len(self._told_words)
        if len(sure) > told and sure[:told] == self._told_words:
            self._told_words = sure
            self._hearing.words_heard((" " if told else "") + " ".join(sure[told:]))
