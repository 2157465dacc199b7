"""The process in which speech is recognised: `python -m agentfield_adapters.local.ears.process`."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentfield_adapters.local.child_process import Answers, child_pipes, frames_from
from agentfield_adapters.local.ears.decoder import (
    LIVE_SCORE_MIN,
    SCORE_MIN,
    Dictionary,
    GrammarDecoder,
    GrammarUnusable,
)
from agentfield_adapters.local.ears.frames import (
    Answer,
    Begin,
    Expect,
    Expecting,
    Forget,
    Hear,
    Recognise,
    Recognised,
    Told,
    Words,
    told_decoder,
)


@dataclass(slots=True)
class _EarState:
    decoder: GrammarDecoder
    turn: int = 0
    is_live: bool = False
    heard: bytearray = field(default_factory=bytearray)
    words: list[str] = field(default_factory=list)


class RecogniserLoop:
    """Does what the parent tells, one frame at a time."""

    def __init__(self, answers: Answers[Answer]) -> None:
        self._answers = answers
        self._dictionary = Dictionary()
        self._ears: dict[int, _EarState] = {}

    def take(self, told: Told) -> None:
        """Do one thing; what is said to an ear without a grammar is ignored."""
        if isinstance(told, Expect):
            self._expect(told)
            return
        if (ear := self._ears.get(told.ear)) is None:
            return
        match told:
            case Begin(turn=turn, live=live):
                ear.turn, ear.is_live, ear.words = turn, live, []
                ear.heard.clear()
                if live:
                    ear.decoder.begin()
            case Hear(pcm=pcm):
                ear.heard += pcm
                if ear.is_live:
                    self._follow(told.ear, ear, pcm)
            case Recognise(request=request):
                self._answers.send(self._recognised(told.ear, ear, request))
            case Forget():
                del self._ears[told.ear]

    def _expect(self, told: Expect) -> None:
        try:
            ear = _EarState(GrammarDecoder(told.grammar, self._dictionary))
            if (before := self._ears.get(told.ear)) is not None:  # a turn goes on, decided by the new grammar
                ear.turn, ear.heard = before.turn, before.heard
            self._ears[told.ear] = ear
            problem = None
        except GrammarUnusable as error:
            problem = str(error)
        self._answers.send(Expecting(told.ear, problem))

    def _follow(self, key: int, ear: _EarState, pcm: bytes) -> None:
        hypothesis = ear.decoder.follow(pcm)
        if hypothesis.words != ear.words and hypothesis.score >= LIVE_SCORE_MIN:
            ear.words = hypothesis.words
            self._answers.send(Words(key, ear.turn, hypothesis.words))

    def _recognised(self, key: int, ear: _EarState, request: int) -> Recognised:
        hypothesis = ear.decoder.decide(bytes(ear.heard))
        understood = hypothesis.words and hypothesis.score >= SCORE_MIN
        text = " ".join(hypothesis.words) if understood else None
        return Recognised(key, request, text, hypothesis.score)


def main() -> None:
    """Recognise what the parent sends until it is gone."""
    source, sink = child_pipes()
    loop = RecogniserLoop(Answers(sink))
    for told in frames_from(source, told_decoder):
        loop.take(told)


if __name__ == "__main__":
    main()
