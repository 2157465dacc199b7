"""What a call is made of where there is no provider, no caller and no service. Knows no promise."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from agentfield_rt.agent import RealtimeSession
from agentfield_rt.approval_rules import ApprovalRule
from agentfield_rt.core.rules.rule import Rule
from agentfield_rt.errors import ExecutionFailed, Reason
from agentfield_rt.frames import (
    FRAME_BYTES,
    FRAME_MS,
    InputFrame,
    OutputAudio,
    OutputTranscript,
    PlaybackStarted,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
)
from agentfield_rt.testing.memory_provider import Answer
from agentfield_rt.voice.link import ExecutionRequest
from agentfield_rt.voice.player import Caller
from agentfield_rt.voice.turns import ANSWER_WITHIN_S

Function = Callable[[RealtimeSession], Awaitable[None]]
"""A handler, as `@app.session` takes it."""


class Desk:
    """An executor over plain functions, sync or async, which notes what it was asked.

    Args:
        functions: By the name of the reasoner without its node: `look_up` runs what asks for `node.look_up`.

    Attributes:
        requests: Everything that was asked, in order.
    """

    def __init__(self, **functions: Callable[..., Any]) -> None:
        self._functions = functions
        self._troubles: deque[tuple[Reason | None, float]] = deque()
        self.requests: list[ExecutionRequest] = []

    def trouble(self, reason: Reason | None = None, *, after_s: float = 0.0) -> None:
        """The next call that has no trouble yet takes so long, and fails if there is a reason."""
        self._troubles.append((reason, after_s))

    async def execute(self, request: ExecutionRequest) -> Any:
        self.requests.append(request)
        reason, after_s = self._troubles.popleft() if self._troubles else (None, 0.0)
        await asyncio.sleep(after_s)
        if reason is not None:
            raise ExecutionFailed("the test says so", execution_id=None, reason=reason)
        function = self._functions.get(request.target.partition(".")[2])
        if function is None:
            raise ExecutionFailed("no such reasoner", execution_id=None, reason=Reason.NOT_FOUND)
        result = function(**request.arguments)
        return await result if asyncio.iscoroutine(result) else result


class Listener:
    """The caller's ear: how much was played to it, and how often it was told to drop what it has."""

    def __init__(self) -> None:
        self.played_bytes = 0
        self.cleared = 0

    async def play(self, pcm: bytes) -> None:
        self.played_bytes += len(pcm)

    async def clear(self) -> None:
        self.cleared += 1


def speaks(*, audio_ms: int = 400) -> Answer:
    """A provider that says what it is told to, word by word, with so much audio."""

    def answer(frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
        if isinstance(frame, SpeechFrame):
            yield from speech(frame, response_id, audio_ms=audio_ms)
            yield ResponseEnded(response_id, ResponseStatus.COMPLETED)

    return answer


def speech(frame: SpeechFrame, response_id: str, *, audio_ms: int) -> Iterable[ProviderEvent]:
    """A response to `frame`, from its start to the last of its audio."""
    item_id, words = f"item_{response_id}", (frame.text or frame.instructions or "").split()
    yield ResponseStarted(response_id, frame.utterance_id)
    frames = audio_ms // FRAME_MS
    for number in range(frames):
        if number * len(words) % frames < len(words):
            yield OutputTranscript(response_id, item_id, f"{words[number * len(words) // frames]} ")
        yield OutputAudio(response_id, item_id, bytes(FRAME_BYTES))


def plays_at_the_provider(frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
    """A provider over WebRTC: it reports that the caller begins to hear, and the test says when that ends."""
    if isinstance(frame, SpeechFrame):
        yield ResponseStarted(response_id, frame.utterance_id)
        yield OutputTranscript(response_id, f"item_{response_id}", frame.text or "")
        yield PlaybackStarted(response_id)
        yield ResponseEnded(response_id, ResponseStatus.COMPLETED)


@dataclass(slots=True)
class Scene:
    """A call before it begins.

    Attributes:
        function: The handler under test; None where there is none.
        model_answers: The provider's model answers by itself.
        desk: What runs the reasoners that handler and model call.
        tools: Targets the model may call by itself, by the name it knows them under.
        answer: What the provider does with speech; `speaks(audio_ms=…)` or `plays_at_the_provider`.
        apology: Said when the handler raised or hung.
        answer_within_s: How long the handler may say nothing to a turn.
    """

    function: Function | None = None
    _: KW_ONLY
    desk: Desk = field(default_factory=Desk)
    tools: Mapping[str, str] = field(default_factory=dict[str, str])
    approvals: tuple[ApprovalRule, ...] = ()
    rules: tuple[Rule, ...] = ()
    transport: Literal["websocket", "webrtc"] = "websocket"
    answer: Answer = field(default_factory=lambda: speaks(audio_ms=60))
    listener: Caller = field(default_factory=Listener)
    apology: str | None = None
    answer_within_s: float = ANSWER_WITHIN_S
    model_answers: bool = False
