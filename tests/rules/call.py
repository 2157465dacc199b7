"""A voice call under rules on a stage: the test writes what the provider does, and sees who saw what."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from agentfield_rt.agent import RealtimeSession
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.core.records.rules import Channel
from agentfield_rt.core.rules.rule import (
    Action,
    Regex,
    Rule,
)
from agentfield_rt.frames import (
    InputTranscript,
    OutputTranscript,
    PlaybackStarted,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
    ToolResultFrame,
)
from tests.voice.call import Desk, Function, VoiceCall, voice_call

SECRET = "4111111111111111"
CARD = Regex(r"\d{13,16}")
SPEECH = (Channel.ASSISTANT_TEXT,)
HEARD = (Channel.REALTIME_TRANSCRIPT,)
ARGUMENTS = (Channel.TOOL_CALL_ARGUMENTS,)
RESULT = (Channel.TOOL_RESULT_TEXT,)
EVERYWHERE = SPEECH + HEARD + ARGUMENTS + RESULT
TOOLS = {"look_up": "node.look_up"}


def rule(matcher: Any, action: Action, channels: tuple[Channel, ...] = SPEECH, **more: Any) -> Rule:
    return Rule(id="the.rule", matcher=matcher, action=action, channels=channels, **more)


class Pen:
    """Writes what the provider does, piece by piece."""

    def __init__(self, call: VoiceCall) -> None:
        self.call = call
        self.live: list[dict[str, Any]] = []

    async def begins(self, response_id: str = "resp_1") -> None:
        """The provider begins to answer the last thing it was asked to say."""
        asked = [frame for frame in self.call.adapter.sent if isinstance(frame, SpeechFrame)]
        self.call.adapter.give(
            ResponseStarted(response_id, asked[-1].utterance_id), PlaybackStarted(response_id)
        )
        await self.call.settle()

    async def says(self, *pieces: str, response_id: str = "resp_1") -> None:
        for piece in pieces:
            self.call.adapter.give(OutputTranscript(response_id, "item_1", piece))
        await self.call.settle()

    async def ends(self, response_id: str = "resp_1") -> None:
        self.call.adapter.give(ResponseEnded(response_id, ResponseStatus.COMPLETED))
        await self.call.settle()
        await self.call.playback_ends()

    async def hears(self, *pieces: str, text: str, item_id: str = "item_user") -> None:
        self.call.adapter.give(SpeechStarted(item_id))
        for piece in pieces:
            self.call.adapter.give(InputTranscript(item_id, piece, final=False))
        self.call.adapter.give(SpeechStopped(item_id), InputTranscript(item_id, text, final=True))
        await self.call.settle()

    async def calls(self, call_id: str = "call_1", **arguments: Any) -> None:
        self.call.adapter.give(
            ToolCalled("resp_x", call_id, "look_up", msgspec.json.encode(arguments).decode())
        )
        await self.call.settle()

    def told(self) -> dict[str, Any]:
        """What the model was told of its calls."""
        frames = [frame for frame in self.call.adapter.sent if isinstance(frame, ToolResultFrame)]
        return {frame.call_id: msgspec.json.decode(frame.output) for frame in frames}

    async def outcomes(self) -> list[Record]:
        return await self.call.of_kind(records.StreamInterventionApplied, records.StreamInterventionFailed)

    async def heard_texts(self) -> list[str]:
        closers = await self.call.of_kind(records.UtterancePlayed, records.UtteranceInterrupted)
        return [await self.call.text_of(closer.heard_ref) for closer in closers if closer.heard_ref]

    async def turn_texts(self) -> list[str]:
        started = await self.call.of_kind(records.TurnStarted)
        return [await self.call.text_of(turn.text_ref) for turn in started if turn.text_ref]


async def _quiet(session: RealtimeSession) -> None:
    async for _ in session.turns():
        pass


def _nothing(*_: object) -> tuple[()]:
    """The test writes what the provider does."""
    return ()


@asynccontextmanager
async def ruled(
    *rules: Rule, function: Function = _quiet, tools: Mapping[str, str] = TOOLS, desk: Desk | None = None
) -> AsyncGenerator[Pen]:
    """A call over WebRTC under `rules`; nothing of the secret may be in what was recorded or shown."""
    async with voice_call(
        function, transport="webrtc", answer=_nothing, tools=tools, desk=desk, stream_rules=rules
    ) as call:
        pen = Pen(call)

        async def watch() -> None:
            async for event in call.session.live.subscribe():
                pen.live.append(event)

        watching = asyncio.create_task(watch())
        await call.settle()
        yield pen
        shown = [str(event) for event in pen.live]
        await call.session.close()
        await watching
        history = [msgspec.json.encode(record).decode() for record in await call.records()]
        assert not [text for text in (*shown, *history) if SECRET in text]


async def answers(session: RealtimeSession) -> None:
    async for _ in session.turns():
        session.reply("answer briefly")
