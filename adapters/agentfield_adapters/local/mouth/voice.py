"""The parent's end of the mouth: texts in, words with samples out, sentence by sentence."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from typing import Protocol

from agentfield_adapters.local.child_process import ChildFailed, ChildProcess
from agentfield_adapters.local.mouth.frames import (
    Answer,
    Finished,
    Speak,
    SpokenWord,
    Stop,
    Told,
    answer_decoder,
)

_SENTENCE = re.compile(r".+?(?:[.!?]+\s+|\n+|$)", re.DOTALL)
_SENTENCE_CHARACTERS_MAX = 400
_SENTENCE_S_MAX = 10.0  # a sentence takes a few milliseconds; longer means the process hangs

WORDS_PER_MINUTE = 165
# The variants that a recogniser understands best, so that tests and demos can check what was heard.
_ESPEAK_VOICES = {
    "marin": "en-us+f3",
    "cedar": "en-us",
    "coral": "en-us+f2",
    "sage": "en-us+f5",
    "shimmer": "en-us+f4",
}
_ESPEAK_VOICE_DEFAULT = "en-us+f3"


class MouthFailed(Exception):
    """Nothing can be said: the mouth's process is gone, hangs or refuses the text."""


class Speaks(Protocol):
    """Turns texts into words with samples."""

    def speak(self, text: str, *, voice: str, speed: float, rate_hz: int) -> AsyncIterator[tuple[str, bytes]]:
        """Yield `(words, samples)` pairs; the words joined are `text`."""
        ...


class Mouth:
    """Speaks through one warm process, shared by all conversations of a provider."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Queue[Answer | None]] = {}
        self._child: ChildProcess[Told, Answer] = ChildProcess(
            "agentfield_adapters.local.mouth.process",
            answer_decoder,
            on_answer=self._answered,
            on_end=self._ended,
        )

    async def start(self) -> None:
        """Start the process, so that the first word does not wait for it."""
        await self._child.start()

    async def stop(self) -> None:
        """End the process."""
        await self._child.stop()

    async def speak(
        self, text: str, *, voice: str, speed: float, rate_hz: int
    ) -> AsyncIterator[tuple[str, bytes]]:
        """Yield `(words, samples)` pairs; the words joined are `text`.

        Sentences are synthesised when the one before has been taken, which bounds what is held here.

        Args:
            text: What to say.
            voice: A voice name of the Realtime protocol, or an espeak-ng voice.
            speed: 1.0 is 165 words a minute.
            rate_hz: Of the samples, 16-bit little-endian mono.

        Raises:
            MouthFailed: Nothing, or not all, could be said.
        """
        espeak_voice = voice if "-" in voice else _ESPEAK_VOICES.get(voice, _ESPEAK_VOICE_DEFAULT)
        words_per_minute = round(WORDS_PER_MINUTE * speed)
        for sentence in _sentences(text):
            job = Speak(next(self._ids), sentence, espeak_voice, words_per_minute, rate_hz)
            async for word in self._sentence(job):
                yield word.text, word.pcm

    async def _sentence(self, job: Speak) -> AsyncIterator[SpokenWord]:
        answers: asyncio.Queue[Answer | None] = asyncio.Queue()  # bounded by the length of a sentence
        self._waiting[job.id] = answers
        finished = False
        try:
            await self._child.start()
            self._child.tell(job)
            while not finished:
                async with asyncio.timeout(_SENTENCE_S_MAX):
                    answer = await answers.get()
                match answer:
                    case SpokenWord():
                        yield answer
                    case Finished(problem=None):
                        finished = True
                    case Finished(problem=problem):
                        finished = True
                        raise MouthFailed(problem)
                    case None:
                        finished = True
                        raise MouthFailed("the speech process ended; it is started again for the next answer")
        except TimeoutError:
            raise MouthFailed(f"no speech within {_SENTENCE_S_MAX:.0f} s") from None
        except ChildFailed as error:
            finished = True
            raise MouthFailed(str(error)) from error
        finally:
            del self._waiting[job.id]
            if not finished and self._child.running:
                self._child.tell(Stop(job.id))

    def _answered(self, answer: Answer) -> None:
        if waiting := self._waiting.get(answer.id):
            waiting.put_nowait(answer)

    def _ended(self) -> None:
        for waiting in self._waiting.values():
            waiting.put_nowait(None)


def _sentences(text: str) -> list[str]:
    """Cut `text` after sentences, and long sentences after words; the pieces joined are `text`."""
    pieces: list[str] = []
    for sentence in _SENTENCE.findall(text):
        rest = sentence
        while len(rest) > _SENTENCE_CHARACTERS_MAX:
            cut = rest.rfind(" ", 0, _SENTENCE_CHARACTERS_MAX) + 1 or _SENTENCE_CHARACTERS_MAX
            pieces.append(rest[:cut])
            rest = rest[cut:]
        pieces.append(rest)
    return [piece for piece in pieces if piece]
