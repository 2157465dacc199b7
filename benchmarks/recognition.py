"""How well the local provider's ears understand the demo's requests and reject everything else.

Run: python benchmarks/recognition.py

Clean synthetic voices speak twenty requests of an order desk and ten unrelated sentences; each is heard as in
a call: voice activity, turn detection, batch decoding, rejection by score. The voices and the unrelated
sentences are not the ones on which the thresholds were chosen.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field

from agentfield_adapters.local.ear_rate import EAR_RATE_HZ
from agentfield_adapters.local.ears.listener import Heard, Listener
from agentfield_adapters.local.ears.recogniser import Recogniser
from agentfield_adapters.local.ears.turn_detector import TurnRules
from agentfield_adapters.local.mouth.caller import VOICES, silence, spoken

GRAMMAR = """#JSGF V1.0;
grammar order_desk;
public <request> = hello | what can you do | [please] where is my order | where is order [number] <number>
    | [please] cancel order [number] <number> | [please] send a replacement for order [number] <number>
    | what are your opening hours | what time is it | [please] let me talk to a person | [please] repeat that
    | tell me a joke | tell me a long story | yes [please] | no [thank you] | thank you [very much] | goodbye;
<number> = <digit> | ten | eleven | twelve | (twenty | thirty | forty) [<digit>];
<digit> = one | two | three | four | five | six | seven | eight | nine;
"""
REQUESTS = (
    "hello",
    "what can you do",
    "where is my order",
    "please where is my order",
    "where is order number three",
    "where is order ten",
    "where is order number twenty",
    "cancel order number two",
    "please cancel order eight",
    "send a replacement for order two",
    "please send a replacement for order number nine",
    "what are your opening hours",
    "what time is it",
    "let me talk to a person",
    "repeat that",
    "tell me a joke",
    "tell me a long story",
    "yes please",
    "no thank you",
    "goodbye",
)
UNRELATED = (
    "can you recommend a good book",
    "how tall is mount everest",
    "remind me to call my mother tomorrow",
    "the quick brown fox jumps over the lazy dog",
    "he went to the bank to deposit a cheque",
    "do not forget your umbrella",
    "this soup needs more salt",
    "please close the door behind you",
    "my sister lives in new york",
    "it was raining all day",
)
RULES = TurnRules(threshold=0.5, silence_ms=320)
REQUESTS_MIN, UNRELATED_MIN = 19, 9  # of 20 and of 10


@dataclass(slots=True)
class Turns:
    """Keeps what the ears made of one recording (`Hearing`)."""

    texts: list[str | None] = field(default_factory=list)

    def speech_started(self, at_ms: int) -> None:
        """Nothing to keep."""

    def words_heard(self, words: str) -> None:
        """Nothing to keep."""

    def speech_stopped(self, at_ms: int, heard: Heard) -> None:
        """Keep what the turn was."""
        self.texts.append(heard.recognised.text if heard.recognised is not None else None)


@dataclass(frozen=True, slots=True)
class Score:
    """The counts of one voice."""

    voice: str
    misheard: dict[str, list[str | None]]
    accepted: dict[str, list[str | None]]

    @property
    def understood(self) -> int:
        """Requests that came out word for word."""
        return len(REQUESTS) - len(self.misheard)

    @property
    def rejected(self) -> int:
        """Unrelated sentences in which nothing was understood."""
        return len(UNRELATED) - len(self.accepted)


async def measure(voice: str, recogniser: Recogniser) -> Score:
    """Have one voice speak everything."""
    requests = {text: await heard_as(text, voice, recogniser) for text in REQUESTS}
    unrelated = {text: await heard_as(text, voice, recogniser) for text in UNRELATED}
    return Score(
        voice,
        {text: heard for text, heard in requests.items() if heard != [text]},
        {text: heard for text, heard in unrelated.items() if any(heard)},
    )


async def heard_as(text: str, voice: str, recogniser: Recogniser) -> list[str | None]:
    """Return what the ears make of each turn they find in one spoken sentence."""
    turns = Turns()
    listener = Listener(recogniser, turns)
    listener.take_turns(RULES)
    await listener.expect(GRAMMAR)
    samples = await spoken(text, voice=voice, rate_hz=EAR_RATE_HZ)
    for piece in (silence(500, rate_hz=EAR_RATE_HZ), samples, silence(800, rate_hz=EAR_RATE_HZ)):
        await listener.hear(piece.astype("<i2").tobytes())
    listener.close()
    return turns.texts


async def main() -> int:
    """Print the counts and return 1 when a voice is below the bar."""
    recogniser = Recogniser()
    await recogniser.start()
    scores = [await measure(voice, recogniser) for voice in VOICES]
    await recogniser.stop()
    for score in scores:
        print(
            f"{score.voice}: understood {score.understood} of {len(REQUESTS)},"
            f" rejected {score.rejected} of {len(UNRELATED)} unrelated"
        )
        for text, heard in {**score.misheard, **score.accepted}.items():
            print(f"    {text!r} was taken for {heard}")
    met = all(score.understood >= REQUESTS_MIN and score.rejected >= UNRELATED_MIN for score in scores)
    print("bar met" if met else f"bar not met: {REQUESTS_MIN} of 20 and {UNRELATED_MIN} of 10 per voice")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
