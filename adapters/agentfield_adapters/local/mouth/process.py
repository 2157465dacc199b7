"""The process in which espeak-ng runs: `python -m agentfield_adapters.local.mouth.process`."""

from __future__ import annotations

import queue
import threading

import numpy as np
import soxr

from agentfield_adapters.local.child_process import Answers, child_pipes, frames_from
from agentfield_adapters.local.mouth.espeak import Espeak, EspeakFailed
from agentfield_adapters.local.mouth.frames import Answer, Finished, Speak, SpokenWord, told_decoder


class WordCutter:
    """Cuts the engine's stream of samples into words, resampled on the way.

    A word's samples are complete when the next word begins, so each word is handed on then.
    """

    def __init__(self, job: Speak, engine_rate_hz: int, answers: Answers[Answer]) -> None:
        self._job = job
        self._answers = answers
        self._ratio = job.rate_hz / engine_rate_hz
        self._resampler = soxr.ResampleStream(engine_rate_hz, job.rate_hz, 1, dtype="int16", quality="HQ")
        self._pending = bytearray()
        self._handed_samples = 0
        self._boundaries: list[
            tuple[int, int]
        ] = []  # (character, sample at the rate asked for) of coming words
        self._character = 0

    def take(self, pcm: bytes, words: list[tuple[int, int]]) -> None:
        """Add samples, and the words that begin in or after them."""
        for character, sample in words:
            if character > self._character and (not self._boundaries or character > self._boundaries[-1][0]):
                self._boundaries.append((character, int(sample * self._ratio)))
        self._resample(np.frombuffer(pcm, dtype="<i2"), last=False)
        while self._boundaries and self._boundaries[0][1] <= self._held_end:
            character, sample = self._boundaries.pop(0)
            self._hand_on(character, sample)

    def finish(self) -> None:
        """Hand on the last word with all that is left."""
        self._resample(np.zeros(0, dtype=np.int16), last=True)
        for character, sample in self._boundaries:
            self._hand_on(character, min(sample, self._held_end))
        self._hand_on(len(self._job.text), self._held_end)

    @property
    def _held_end(self) -> int:
        return self._handed_samples + len(self._pending) // 2

    def _resample(self, samples: np.ndarray[tuple[int], np.dtype[np.int16]], *, last: bool) -> None:
        self._pending += self._resampler.resample_chunk(samples, last=last).tobytes()

    def _hand_on(self, character: int, sample: int) -> None:
        size = max(0, sample - self._handed_samples) * 2
        pcm = bytes(self._pending[:size])
        del self._pending[:size]
        self._handed_samples += size // 2
        text = self._job.text[self._character : character]
        self._character = character
        if text or pcm:
            self._answers.send(SpokenWord(self._job.id, text, pcm))


def main() -> None:
    """Speak what the parent asks for, one text after another, until it is gone."""
    source, sink = child_pipes()
    answers: Answers[Answer] = Answers(sink)
    jobs: queue.SimpleQueue[Speak | None] = queue.SimpleQueue()
    stopped: set[int] = set()

    def listen() -> None:
        for told in frames_from(source, told_decoder):
            if isinstance(told, Speak):
                jobs.put(told)
            else:
                stopped.add(told.id)
        jobs.put(None)

    engine = Espeak()
    threading.Thread(target=listen, name="listen", daemon=True).start()
    while (job := jobs.get()) is not None:
        answers.send(_spoken(job, engine, answers, stopped))
        stopped.discard(job.id)


def _spoken(job: Speak, engine: Espeak, answers: Answers[Answer], stopped: set[int]) -> Finished:
    cutter = WordCutter(job, engine.rate_hz, answers)

    def sink(pcm: bytes, words: list[tuple[int, int]]) -> bool:
        if job.id in stopped:
            return False
        cutter.take(pcm, words)
        return True

    try:
        engine.speak(job.text, sink, voice=job.voice, words_per_minute=job.words_per_minute)
    except EspeakFailed as error:
        return Finished(job.id, str(error))
    if job.id not in stopped:
        cutter.finish()
    return Finished(job.id)


if __name__ == "__main__":
    main()
