"""Random conversations whose connection breaks anywhere, and the test's own account of what was said.

The provider and the caller's ear are the test's. Every frame of sound names its word, so that the ear knows
which words it heard to their end; nothing here asks the runtime what was said or heard.
"""

import asyncio
import random
from collections.abc import Iterable
from typing import Any

from msgspec import json

from agentfield_adapters.local.conversation.history import History as ProviderHistory
from agentfield_adapters.local.ids import Ids
from agentfield_adapters.local.protocol.client_events import ItemCreate
from agentfield_adapters.local.protocol.items import FunctionCall, FunctionCallOutput, Item, Message
from agentfield_adapters.local.protocol.validation import parse_event
from agentfield_adapters.openai.client_events import encode
from agentfield_adapters.openai.replay import item_events
from agentfield_rt.agent import RealtimeSession
from agentfield_rt.frames import (
    FRAME_BYTES,
    FRAME_MS,
    InputFrame,
    InputTranscript,
    OutputAudio,
    OutputTranscript,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
)
from agentfield_rt.history import GO_ON
from agentfield_rt.items import History
from agentfield_rt.ports import ConnectRequest
from tests.virtual_time import time_passes
from tests.voice.call import Desk, VoiceCall

WORD_FRAMES = 12
WORD_S = WORD_FRAMES * FRAME_MS / 1000
WORDS_MAX = 6
"""With so many words of four letters, half a word more or less is never taken for a whole one."""

Told = tuple[str, ...]
"""An item as the test writes it down: who, and what."""


class Ear:
    """Hears in real time what it is handed, and forgets what it is told to drop."""

    def __init__(self) -> None:
        self._frames: list[tuple[float, bytes]] = []
        self._free_at_s = 0.0

    async def play(self, pcm: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        self._free_at_s = max(self._free_at_s, now_s) + FRAME_MS / 1000
        self._frames.append((self._free_at_s, pcm))

    async def clear(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self._frames = [frame for frame in self._frames if frame[0] <= now_s + 1e-6]
        self._frames.append((now_s, b""))  # two halves of a word are no word
        self._free_at_s = now_s

    def words(self) -> list[str]:
        """The words that were heard to their end by now."""
        now_s = asyncio.get_running_loop().time()
        heard = [pcm for end_s, pcm in self._frames if end_s <= now_s + 1e-6]
        words: list[str] = []
        run = 0
        for before, pcm in zip([b"", *heard], heard, strict=False):
            run = run + 1 if pcm == before else 1
            if run == WORD_FRAMES:
                words.append(pcm[:4].decode())
                run = 0
        return words


def sound(response_id: str, text: str) -> Iterable[ProviderEvent]:
    """Speech whose frames name their word."""
    for word in text.split():
        yield OutputTranscript(response_id, f"item_{response_id}", f"{word} ")
        pcm = word.encode().ljust(FRAME_BYTES, b"\0")
        yield from [OutputAudio(response_id, f"item_{response_id}", pcm)] * WORD_FRAMES


def answers(frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
    """Says what it is told to; to instructions, two words of its own."""
    if isinstance(frame, SpeechFrame):
        yield ResponseStarted(response_id, frame.utterance_id)
        yield from sound(response_id, frame.text if frame.text is not None else "more more")
        yield ResponseEnded(response_id, ResponseStatus.COMPLETED)


class Script:
    """One conversation, and the account of it.

    Attributes:
        account: What has been said, as the provider must know it.
        rebuilt: How many connections were replaced.
    """

    def __init__(self, call: VoiceCall, ear: Ear, chance: random.Random, desk: Desk) -> None:
        self._call = call
        self._ear = ear
        self._chance = chance
        self._desk = desk
        self._numbers = iter(range(1_000_000))
        self.account: list[Told] = []
        self.pending: set[str] = set()
        self._owes = False
        self.rebuilt = 0

    async def play(self, acts: int) -> None:
        """So many things happen, and then one more connection breaks: what it is told is everything."""
        for _ in range(acts):
            act = self._chance.choice(
                [
                    *(self._speaks, self._speaks, self._types, self._answers_by_itself),
                    *(self._calls_a_tool, self._calls_a_tool_and_speaks),
                ]
            )
            await act()
            if self._chance.random() < 0.3:
                await self._breaks()
        await self._breaks()

    def _text(self) -> str:
        count = self._chance.randint(1, WORDS_MAX)
        return " ".join(f"w{next(self._numbers) % 1000:03}" for _ in range(count))

    async def _speaks(self) -> None:
        said = self._text()
        self._call.adapter.give(
            SpeechStarted("u"), SpeechStopped("u"), InputTranscript("u", said, final=True)
        )
        self.account.append(("user", said))
        await self._is_answered(said)

    async def _types(self) -> None:
        said = self._text()
        await self._call.session.hear_text(said)
        self.account.append(("user", said))
        await self._is_answered(said)

    async def _is_answered(self, said: str) -> None:
        """The handler repeats it: heard to its end, broken off and resumed, or talked over."""
        self._owes = False
        await self._turns()
        before = len(self._ear.words())
        self.account.append(("assistant", ""))
        breaks = self._chance.choice([0, 0, 1, 1, 2])
        for _ in range(breaks):
            await self._within(said, before)
            self.account[-1] = ("assistant", self._heard(before))
            await self._breaks()
        if self._chance.random() < 0.3:
            await self._within(said, before)
            self._call.adapter.give(SpeechStarted("u"))
            await self._turns()
            self.account[-1] = ("assistant", self._heard(before))
            cut = self._text()
            self._call.adapter.give(SpeechStopped("u"), InputTranscript("u", cut, final=True))
            self.account.append(("user", cut))
            await self._turns()
            before = len(self._ear.words())
            self.account.append(("assistant", ""))
        await time_passes(2 * WORDS_MAX * WORD_S)
        self.account[-1] = ("assistant", self._heard(before))
        assert self.account[-1][1] == self.account[-2][1], "the caller heard a word twice, or never"

    async def _within(self, said: str, before: int) -> None:
        """Time passes, to the middle of some word that is still to come."""
        left = len(said.split()) - (len(self._ear.words()) - before)
        await time_passes((self._chance.randrange(left) + 0.5) * WORD_S if left > 0 else WORD_S)

    def _heard(self, before: int) -> str:
        return " ".join(self._ear.words()[before:])

    async def _answers_by_itself(self) -> None:
        text, response_id = self._text(), f"own_{next(self._numbers)}"
        before = len(self._ear.words())
        self._call.adapter.give(
            ResponseStarted(response_id),
            *sound(response_id, text),
            ResponseEnded(response_id, ResponseStatus.COMPLETED),
        )
        await self._turns()
        self.account.append(("assistant", ""))
        if self._chance.random() < 0.5:
            await self._within(text, before)
            self.account[-1] = ("assistant", self._heard(before))
            if not (heard := self._heard(before)):
                self.account.pop()  # nobody asked for it, and nobody heard of it
            await self._breaks(broke_off=bool(heard))
            if not heard:
                return
            before = len(self._ear.words())
            self.account.append(("assistant", ""))  # the model goes on
        await time_passes((WORDS_MAX + 1) * WORD_S)
        self.account[-1] = ("assistant", self._heard(before))
        self._owes = False

    async def _calls_a_tool(self) -> None:
        call_id = f"call_{next(self._numbers)}"
        name = self._chance.choice(["look_up", "look_up", "format_disk"])
        slow = name == "look_up" and self._chance.random() < 0.5
        if slow:
            self._desk.trouble(after_s=3.0)
        arguments = json.encode({"call": call_id}).decode()
        self._call.adapter.give(ToolCalled("resp_tool", call_id, name, arguments))
        self.account.append(("call", call_id, name, arguments))
        await time_passes(0.1)
        if slow:
            self.pending.add(call_id)
            if self._chance.random() < 0.7:
                await self._breaks()
            await time_passes(3.1)
            self.pending.discard(call_id)
        ran = [request.arguments for request in self._desk.requests].count({"call": call_id})
        assert ran == (name == "look_up"), f"the tool ran {ran} times"
        output = '"found"' if name == "look_up" else REFUSED
        self.account.append(("output", call_id, output))
        self._owes = True

    async def _calls_a_tool_and_speaks(self) -> None:
        """The tool has returned before the caller heard the words it was called with to their end."""
        text, response_id, call_id = self._text(), f"own_{next(self._numbers)}", f"call_{next(self._numbers)}"
        before = len(self._ear.words())
        arguments = json.encode({"call": call_id}).decode()
        self._call.adapter.give(
            ResponseStarted(response_id),
            *sound(response_id, text),
            ToolCalled(response_id, call_id, "look_up", arguments),
            ResponseEnded(response_id, ResponseStatus.COMPLETED),
        )
        if self._chance.random() < 0.5:
            await self._within(text, before)
        else:
            await time_passes((WORDS_MAX + 1) * WORD_S)
        self.account.append(("assistant", self._heard(before)))
        self.account += [("call", call_id, "look_up", arguments), ("output", call_id, '"found"')]
        self._owes = True
        await self._breaks()

    async def _breaks(self, *, broke_off: bool = False) -> None:
        """The connection is lost; the next one must be told the account, and nothing else.

        `broke_off`: in the middle of what the model said by itself, so that it must be told to go on.
        """
        self._call.adapter.drop()
        await self._turns()
        self.rebuilt += 1
        request = [call for call in self._call.adapter.calls if call.method == "restart"][-1].argument
        assert isinstance(request, ConnectRequest)
        assert request.history is not None
        expected = [told for told in self.account if told[1:] != ("",)]
        if broke_off:
            expected.append(("system", GO_ON))
        self.check(provider_side(request.history), expected)
        asks = broke_off or (self._owes and not self.pending)
        assert request.history.answer_owed is asks
        if asks and not broke_off:
            await time_passes(3 * WORD_S)
            self.account.append(("assistant", "more more"))
            self._owes = False

    def check(self, told: list[Told], expected: list[Told]) -> None:
        assert told == expected, f"told {told}, said {expected}"

    async def _turns(self) -> None:
        """All that waits for nothing happens."""
        await time_passes(0.001)


REFUSED = json.encode({"error": "tool 'format_disk' is not available in this session"}).decode()


def provider_side(history: History) -> list[Told]:
    """What a strict provider has once it took the events that tell it a history, read from their bytes."""
    kept = ProviderHistory(Ids(1, "rebuilt"))
    numbers = iter(range(1_000))
    for create in item_events(history, lambda: f"event_{next(numbers)}"):
        event = parse_event(encode(create).decode())
        assert isinstance(event, ItemCreate)
        kept.add(event.item)
    return [_told(item) for item in kept.items()]


def _told(item: Item) -> Told:
    match item:
        case Message(role=role, content=content):
            (part,) = content
            text: Any = getattr(part, "text", None)
            return (role, str(text))
        case FunctionCall(call_id=call_id, name=name, arguments=arguments):
            return ("call", str(call_id), name, arguments)
        case FunctionCallOutput(call_id=call_id, output=output):
            return ("output", call_id, output)


async def repeats(session: RealtimeSession) -> None:
    """Answers each turn with itself."""
    async for turn in session.turns():
        session.say(turn.text)
