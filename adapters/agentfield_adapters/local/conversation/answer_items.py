"""The events of one item of an answer: a message, spoken or written, or a function call.

Each emits its opening events when it is made and its closing events when it is finished, whenever that is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from msgspec import structs

from agentfield_adapters.local.conversation.history import History
from agentfield_adapters.local.event_stream import EventStream
from agentfield_adapters.local.ids import Ids
from agentfield_adapters.local.protocol.items import FunctionCall, Message, OutputAudio, OutputText
from agentfield_adapters.local.protocol.server_events import (
    ArgumentsDelta,
    ArgumentsDone,
    AudioDelta,
    AudioDone,
    AudioPart,
    ContentPartAdded,
    ContentPartDone,
    ItemAdded,
    ItemDone,
    OutputBufferStarted,
    OutputItemAdded,
    OutputItemDone,
    TextDelta,
    TextDone,
    TextPart,
    TranscriptDelta,
    TranscriptDone,
)
from agentfield_adapters.local.protocol.session import AudioFormat
from agentfield_adapters.local.wire_audio import OutputEncoder

_ARGUMENT_DELTA_CHARACTERS = 24
ItemEnd = Literal["completed", "incomplete"]


@dataclass(frozen=True, slots=True)
class AnswerDesk:
    """What the items of one answer write to.

    Attributes:
        history: None for an answer outside the conversation.
        audio_format: Of speech that the client plays itself.
        plays: Whether this side plays the speech, and so reports its playing.
    """

    response_id: str
    stream: EventStream
    ids: Ids
    history: History | None
    audio_format: AudioFormat
    plays: bool


class _AnswerItem:
    """What messages and calls have in common: their place in the answer and in the conversation."""

    def __init__(self, desk: AnswerDesk, output_index: int) -> None:
        self._desk = desk
        self._index = output_index
        self._previous_id: str | None = None

    def _open(self, item: Message | FunctionCall) -> None:
        desk = self._desk
        desk.stream.emit(OutputItemAdded(desk.response_id, self._index, item))
        if desk.history is not None:
            self._previous_id = desk.history.last_id
            desk.stream.emit(ItemAdded(desk.history.add(item), self._previous_id))

    def _close(self, item: Message | FunctionCall) -> None:
        desk = self._desk
        if desk.history is not None:
            desk.history.replace(item)
            desk.stream.emit(ItemDone(item, self._previous_id))
        desk.stream.emit(OutputItemDone(desk.response_id, self._index, item))


class MessageItem(_AnswerItem):
    """A message with one part; as a `SpokenPart` it is told by the playback what has been said."""

    def __init__(self, desk: AnswerDesk, output_index: int, *, spoken: bool) -> None:
        super().__init__(desk, output_index)
        self.item_id = desk.ids.new("item")
        self.spoken = spoken
        self._said = ""
        self._encoder = OutputEncoder(desk.audio_format)
        self._where = (desk.response_id, self.item_id, output_index, 0)
        self._item = Message(id=self.item_id, role="assistant", content=[], status="in_progress")
        self._open(self._item)
        desk.stream.emit(ContentPartAdded(*self._where, part=self._part()))

    def began(self) -> None:
        """The first sample is on its way."""
        if self._desk.plays:
            self._desk.stream.emit(OutputBufferStarted(self._desk.response_id))

    def word(self, text: str) -> None:
        """One more word has been said, or written."""
        self._said += text
        delta = TranscriptDelta if self.spoken else TextDelta
        self._desk.stream.emit(delta(*self._where, delta=text, obfuscation=self._desk.ids.padding()))

    def audio(self, pcm: bytes) -> None:
        """Samples for a client that plays them itself."""
        self._send(self._encoder.encoded(pcm))

    def _send(self, encoded: str) -> None:
        if encoded:
            self._desk.stream.emit(AudioDelta(*self._where, delta=encoded))

    def finish(self, end: ItemEnd) -> Message:
        """Say that the message is over, with what was said so far, and return it."""
        emit = self._desk.stream.emit
        if self.spoken:
            self._send(self._encoder.rest())
            emit(AudioDone(*self._where))
            emit(TranscriptDone(*self._where, transcript=self._said))
        else:
            emit(TextDone(*self._where, text=self._said))
        emit(ContentPartDone(*self._where, part=self._part()))
        content = OutputAudio(self._said) if self.spoken else OutputText(self._said)
        item = structs.replace(self._item, content=[content], status=end)
        self._close(item)
        return item

    def _part(self) -> TextPart | AudioPart:
        return AudioPart(self._said) if self.spoken else TextPart(self._said)


class CallItem(_AnswerItem):
    """A function call; it is complete as soon as it is made."""

    def __init__(self, desk: AnswerDesk, output_index: int, *, name: str, arguments: str) -> None:
        super().__init__(desk, output_index)
        item_id, call_id = desk.ids.new("item"), desk.ids.new("call")
        begun = FunctionCall(id=item_id, call_id=call_id, name=name, arguments="", status="in_progress")
        self._open(begun)
        for start in range(0, len(arguments), _ARGUMENT_DELTA_CHARACTERS):
            desk.stream.emit(
                ArgumentsDelta(
                    response_id=desk.response_id,
                    item_id=item_id,
                    output_index=output_index,
                    call_id=call_id,
                    delta=arguments[start : start + _ARGUMENT_DELTA_CHARACTERS],
                    obfuscation=desk.ids.padding(),
                )
            )
        desk.stream.emit(
            ArgumentsDone(
                response_id=desk.response_id,
                item_id=item_id,
                output_index=output_index,
                call_id=call_id,
                name=name,
                arguments=arguments,
            )
        )
        self.item = structs.replace(begun, arguments=arguments, status="completed")
        self._close(self.item)
