"""One streamed answer: chunks in, our events out, each response ended once. Pure, no socket."""

from dataclasses import dataclass

from agentfield_adapters.lenient import UNREADABLE
from agentfield_adapters.openrouter import chunks, costs
from agentfield_adapters.openrouter.conversation import Said
from agentfield_adapters.openrouter.failures import TurnFailed, broken_off
from agentfield_rt.errors import Reason
from agentfield_rt.frames import (
    BYTES_PER_MS,
    Notice,
    OutputAudio,
    OutputTranscript,
    ProviderEvent,
    ResponseEnded,
    ResponseStatus,
    ToolCalled,
    UsageReported,
)

AUDIO_BYTES_MAX = 300_000 * BYTES_PER_MS
"""Five minutes: the longest utterance the runtime plays."""
TEXT_CHARACTERS_MAX = 100_000
CALLS_MAX = 64
ARGUMENTS_CHARACTERS_MAX = 256 * 1024

_FINISHES = {"length": ResponseStatus.INCOMPLETE, "content_filter": ResponseStatus.INCOMPLETE}
_FAILED = "error"
MALFORMED = Notice("chat.completion.chunk", "malformed")


@dataclass(slots=True)
class _Call:
    call_id: str = ""
    name: str = ""
    arguments: str = ""


class Answer:
    """An answer as it comes in.

    Args:
        said: What the conversation keeps of it.
    """

    def __init__(self, said: Said) -> None:
        self.said = said
        self.is_over = False
        self.has_finished = False
        self._status = ResponseStatus.INCOMPLETE
        self._odd_byte = b""
        self._text_characters = 0
        self._calls: dict[int, _Call] = {}

    @property
    def has_output(self) -> bool:
        """Whether anything of it has come."""
        return bool(self.said.audio_bytes or self._text_characters or self._calls)

    def react(self, data: bytes) -> list[ProviderEvent]:
        """Take the data of one event.

        Raises:
            TurnFailed: the provider says that it failed, or sends what cannot be an answer.
        """
        if data == chunks.DONE or self.is_over:
            return self.finish()
        try:
            chunk = chunks.decode(data)
        except UNREADABLE:
            return [MALFORMED]
        if chunk.error is not None:
            raise broken_off(chunk.error)
        events: list[ProviderEvent] = []
        if (usage := costs.usage(chunk.usage)) is not None:
            events.append(UsageReported(usage, self.said.response_id))
        for choice in (chunk.choices or ())[:1]:
            if choice.delta is not None:
                events += self._output(choice.delta)
            if choice.finish_reason == _FAILED:
                raise TurnFailed(
                    "the provider broke its answer off", reason=Reason.UNAVAILABLE, not_done=False
                )
            if choice.finish_reason is not None:
                self.has_finished = True
                self._status = _FINISHES.get(choice.finish_reason, ResponseStatus.COMPLETED)
        return events

    def finish(self) -> list[ProviderEvent]:
        """The stream said `[DONE]`; some never say why they finish."""
        if not self.has_finished and self.has_output and not self.is_over:
            self._status = ResponseStatus.COMPLETED
        return self.end(self._status)

    def cut_off(self) -> list[ProviderEvent]:
        """The stream ended without a word, so nobody knows whether that was all."""
        return self.end(self._status)

    def end(self, status: ResponseStatus) -> list[ProviderEvent]:
        """End it, once. Tools are called only if it came to its own end."""
        if self.is_over:
            return []
        self.is_over = True
        events: list[ProviderEvent] = []
        if status is ResponseStatus.COMPLETED:
            calls = (self._calls[index] for index in sorted(self._calls))
            for call in (
                self.said.call(call.call_id, call.name, call.arguments) for call in calls if call.name
            ):
                events.append(ToolCalled(self.said.response_id, call.call_id, call.name, call.arguments))
        return [*events, ResponseEnded(self.said.response_id, status)]

    def _output(self, delta: chunks.Delta) -> list[ProviderEvent]:
        events: list[ProviderEvent] = []
        audio = delta.audio or chunks.Audio()
        for text in (delta.content, audio.transcript):
            if text:
                events += self._text(text)
        if audio.data:
            events += self._audio(audio.data)
        for call in delta.tool_calls or ():
            self._call(call)
        return events

    def _text(self, text: str) -> list[ProviderEvent]:
        text = text[: TEXT_CHARACTERS_MAX - self._text_characters]
        self._text_characters += len(text)
        if not text:
            return []
        self.said.append(text)
        return [OutputTranscript(self.said.response_id, self.said.item_id, text)]

    def _audio(self, data: bytes) -> list[ProviderEvent]:
        """Whole samples; half of one waits for the next piece."""
        data = self._odd_byte + data
        whole = len(data) // 2 * 2
        self._odd_byte = data[whole:]
        pcm = data[: min(whole, AUDIO_BYTES_MAX - self.said.audio_bytes)]
        events: list[ProviderEvent] = []
        if pcm:
            self.said.audio_bytes += len(pcm)
            events.append(OutputAudio(self.said.response_id, self.said.item_id, pcm))
        if len(pcm) < whole:
            events += self.end(ResponseStatus.INCOMPLETE)
        return events

    def _call(self, piece: chunks.ToolCall) -> None:
        if piece.index not in self._calls and len(self._calls) >= CALLS_MAX:
            raise TurnFailed("the provider calls too many tools", reason=Reason.PROTOCOL, not_done=False)
        call = self._calls.setdefault(piece.index, _Call())
        call.call_id = call.call_id or piece.id or ""
        function = piece.function or chunks.Function()
        call.name = call.name or function.name or ""
        call.arguments += function.arguments or ""
        if len(call.arguments) > ARGUMENTS_CHARACTERS_MAX:
            raise TurnFailed("a tool's arguments are too long", reason=Reason.PROTOCOL, not_done=False)
