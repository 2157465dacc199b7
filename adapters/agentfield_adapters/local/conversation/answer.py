"""One answer of the assistant, from `response.created` to `response.done`, however it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from agentfield_adapters.local.brain import Brain, Call, Prompt, Say
from agentfield_adapters.local.conversation.answer_items import AnswerDesk, CallItem, MessageItem
from agentfield_adapters.local.conversation.playback import Playback
from agentfield_adapters.local.mouth.voice import MouthFailed, Speaks
from agentfield_adapters.local.protocol.items import InputImage, Item, Message
from agentfield_adapters.local.protocol.server_events import (
    InputTokens,
    ItemTruncated,
    OutputBufferCleared,
    OutputBufferStopped,
    OutputTokens,
    RateLimit,
    RateLimitsUpdated,
    Response,
    ResponseAudioReport,
    ResponseCreated,
    ResponseDone,
    ResponseVoice,
    StatusDetails,
    Usage,
)
from agentfield_adapters.local.protocol.session import OutputSettings, OutputTokensMax

_log = logging.getLogger(__name__)

_RATE_LIMIT_TOKENS = 40_000
Status = Literal["completed", "cancelled", "failed", "incomplete"]
CancelReason = Literal["turn_detected", "client_cancelled"]


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """What one answer is to be.

    Attributes:
        conversation_id: None for an answer outside the conversation.
        spoken: Or written.
    """

    prompt: Prompt
    conversation_id: str | None
    spoken: bool
    output: OutputSettings
    max_output_tokens: OutputTokensMax
    metadata: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class AnswerTools:
    """What an answer is made with."""

    brain: Brain
    mouth: Speaks
    playback: Playback


class Answer:
    """A running answer. It ends exactly once: by itself, by `cancel`, or by a failure.

    Args:
        on_end: Called after the last event, so that the conversation is free for the next answer.
        on_cut: Called with the id of a message that was cut, when this side played it.
    """

    def __init__(
        self,
        request: AnswerRequest,
        tools: AnswerTools,
        desk: AnswerDesk,
        *,
        on_end: Callable[[], None],
        on_cut: Callable[[str], None],
    ) -> None:
        self._request = request
        self._tools = tools
        self._desk = desk
        self._on_end = on_end
        self._on_cut = on_cut
        self._output: list[Item] = []
        self._open_message: MessageItem | None = None
        self._has_spoken = False
        self._words_left: int | Literal["inf"] = request.max_output_tokens
        self._is_cut = False  # by max_output_tokens
        self._ended = False
        self._task: asyncio.Task[None] | None = None
        self.produced_ms: dict[str, int] = {}

    @property
    def response_id(self) -> str:
        """The id of the response."""
        return self._desk.response_id

    def start(self) -> None:
        """Emit `response.created` and go to work."""
        self._desk.stream.emit(ResponseCreated(self._report("in_progress")))
        self._task = asyncio.create_task(self._run(), name=self.response_id)

    def cancel(self, reason: CancelReason) -> None:
        """Stop at once: nothing more is played, and every closing event has been emitted on return."""
        if self._ended:
            return
        assert self._task is not None
        self._task.cancel()
        heard_ms = self._tools.playback.played_ms
        self._tools.playback.clear()
        message = self._open_message
        played_here = message is not None and message.spoken and self._desk.plays
        if played_here:
            self._desk.stream.emit(OutputBufferCleared(self.response_id))
        self._end("cancelled", StatusDetails(type="cancelled", reason=reason))
        if message is not None and played_here and self._desk.history is not None:
            self._on_cut(message.item_id)
            self._desk.stream.emit(ItemTruncated(message.item_id, 0, heard_ms))

    def speaking_ms(self, key: str) -> int | None:
        """Return how much of an item of this answer has been spoken, or None when it is not spoken here."""
        if self._open_message is not None and self._open_message.item_id == key and self._request.spoken:
            return self._tools.playback.played_ms
        return self.produced_ms.get(key)

    async def wait(self) -> None:
        """Wait until the answer's task is gone; for closing a conversation."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            for act in await self._tools.brain.answer(self._request.prompt):
                match act:
                    case Say(text):
                        await self._say(text)
                    case Call(name, arguments):
                        call = CallItem(self._desk, len(self._output), name=name, arguments=arguments)
                        self._output.append(call.item)
                if self._is_cut:
                    self._end("incomplete", StatusDetails(type="incomplete", reason="max_output_tokens"))
                    return
            self._end("completed", None)
        except MouthFailed as error:
            self._fail("speech_unavailable", str(error))
        except Exception as error:  # the boundary of a task: a client must still see the answer end
            _log.exception("an answer failed: %s", type(error).__name__)
            self._fail("server_error", "The local provider failed; its log says how.")

    def _fail(self, code: str, message: str) -> None:
        error = {"type": "server_error", "code": code, "message": message}
        self._tools.playback.clear()
        self._end("failed", StatusDetails(type="failed", error=error))

    async def _say(self, text: str) -> None:
        message = MessageItem(self._desk, len(self._output), spoken=self._request.spoken)
        self._open_message = message
        self._has_spoken = self._has_spoken or self._request.spoken
        allowed = self._within_limit(text)
        if self._request.spoken:
            await self._tools.playback.play(self._speech(allowed), message)
        else:
            for word in _words(allowed):
                message.word(word)
                await asyncio.sleep(0)  # a cancellation must find its way between two words
        self._close_message("incomplete" if self._is_cut else "completed")

    def _speech(self, text: str) -> AsyncIterator[tuple[str, bytes]]:
        output = self._request.output
        rate_hz = self._tools.playback.rate_hz
        return self._tools.mouth.speak(text, voice=output.voice, speed=output.speed, rate_hz=rate_hz)

    def _within_limit(self, text: str) -> str:
        if not isinstance(self._words_left, int):
            return text
        words = _words(text)
        self._is_cut = len(words) > self._words_left
        kept = words[: self._words_left]
        self._words_left -= len(kept)
        return "".join(kept)

    def _close_message(self, end: Literal["completed", "incomplete"]) -> None:
        message, self._open_message = self._open_message, None
        if message is None:
            return
        if message.spoken:
            self.produced_ms[message.item_id] = self._tools.playback.played_ms
        self._output.append(message.finish(end))

    def _end(self, status: Status, details: StatusDetails | None) -> None:
        if self._ended:
            return
        self._ended = True
        if status in ("cancelled", "failed"):
            self._close_message("incomplete")
        self._desk.stream.emit(ResponseDone(self._report(status, details)))
        self._desk.stream.emit(RateLimitsUpdated([_tokens_left()]))
        if self._has_spoken and self._desk.plays and status in ("completed", "incomplete"):
            self._desk.stream.emit(OutputBufferStopped(self.response_id))
        self._on_end()

    def _report(
        self, status: Literal["in_progress"] | Status, details: StatusDetails | None = None
    ) -> Response:
        request = self._request
        return Response(
            id=self.response_id,
            status=status,
            status_details=details,
            output=list(self._output),
            conversation_id=request.conversation_id,
            output_modalities=("audio",) if request.spoken else ("text",),
            max_output_tokens=request.max_output_tokens,
            audio=ResponseAudioReport(ResponseVoice(request.output.format, request.output.voice)),
            usage=None if status == "in_progress" else self._usage(),
            metadata=request.metadata,
        )

    def _usage(self) -> Usage:
        items = self._request.prompt.items
        read, seen = sum(_count_words(item) for item in items), sum(_count_pictures(item) for item in items)
        written = sum(_count_words(item) for item in self._output)
        spoken = written if self._request.spoken else 0
        return Usage(
            total_tokens=read + seen + written,
            input_tokens=read + seen,
            output_tokens=written,
            input_token_details=InputTokens(text_tokens=read, audio_tokens=0, image_tokens=seen),
            output_token_details=OutputTokens(text_tokens=written - spoken, audio_tokens=spoken),
        )


def _words(text: str) -> Sequence[str]:
    """Return the words of `text`, each with the space after it."""
    parts = text.split(" ")
    return [part + " " for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _count_words(item: Item) -> int:
    if not isinstance(item, Message):
        return 1
    texts = (getattr(part, "text", None) or getattr(part, "transcript", None) or "" for part in item.content)
    return sum(len(text.split()) for text in texts if isinstance(text, str))


def _count_pictures(item: Item) -> int:
    return sum(isinstance(part, InputImage) for part in item.content) if isinstance(item, Message) else 0


def _tokens_left() -> RateLimit:
    return RateLimit("tokens", _RATE_LIMIT_TOKENS, _RATE_LIMIT_TOKENS, 0.0)
