"""What was said so far, as far as the next request must tell it. Pure: no clock, no socket, no randomness.

It outlives a connection, because the server keeps nothing: after a restart the next request tells it all.
"""

import base64
import io
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.frames import BYTES_PER_MS, SAMPLE_RATE_HZ, TextFrame, ToolResultFrame
from agentfield_rt.items import (
    AssistantItem,
    ConversationItem,
    History,
    NoteItem,
    ToolCallItem,
    ToolOutputItem,
    UserItem,
)
from agentfield_rt.voice.heard import HeardText

ITEMS_MAX = 400
"""Of a longer conversation the oldest items are forgotten."""
AUDIO_BYTES_MAX = 120_000 * BYTES_PER_MS
"""Two minutes of user audio at most go into a request; words take the place of what is older."""
NOT_KEPT = "(The caller said something here that was not understood.)"

Message = dict[str, Any]


@dataclass(slots=True)
class UserText:
    """A turn that was typed."""

    frame_id: str
    text: str


@dataclass(slots=True)
class UserAudio:
    """A turn that was spoken; `words` once they are known."""

    item_id: str
    pcm: bytes
    words: str | None = None


@dataclass(slots=True)
class ToolCall:
    """A tool the model called; `output` once there is one, and whether it came with a restored history."""

    call_id: str
    name: str
    arguments: str
    output: str | None = None
    is_restored: bool = False


@dataclass(slots=True)
class Note:
    """Something the model must know that nobody said."""

    text: str


@dataclass(slots=True)
class Said:
    """An answer of the assistant: the text that was heard is what stays of it.

    Attributes:
        kept_ms: How much of its audio the conversation keeps; None is all of it.
    """

    response_id: str
    item_id: str
    new_call_id: Callable[[str], str]
    audio_bytes: int = 0
    kept_ms: int | None = None
    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    goes_on: bool = False
    _pieces: HeardText = field(default_factory=HeardText)

    @property
    def text(self) -> str:
        """The words that were heard; all of them unless it was cut."""
        return self._pieces.whole if self.kept_ms is None else self._pieces.until(self.kept_ms)

    @property
    def is_empty(self) -> bool:
        """Whether a request has nothing to tell of it."""
        return not self.text and not any(call.output is not None for call in self.calls)

    def append(self, text: str) -> None:
        """Words that begin at or before the audio received so far."""
        self._pieces.append(text, audio_ms=self.audio_bytes // BYTES_PER_MS)

    def call(self, call_id: str, name: str, arguments: str) -> ToolCall:
        """Note a tool call under an id that no other has."""
        call = ToolCall(self.new_call_id(call_id), name, arguments)
        self.calls.append(call)
        self.goes_on = True
        return call

    def cut(self, heard_ms: int | None) -> int:
        """Keep only what was heard, never more than was received or kept before; how much that is."""
        received_ms = self.audio_bytes // BYTES_PER_MS
        known_ms = received_ms if self.kept_ms is None else self.kept_ms
        kept_ms = known_ms if heard_ms is None else min(max(heard_ms, 0), known_ms)
        if heard_ms is not None or self.kept_ms is not None:
            # Words without audio are judged by how fast one can speak, so time is all that counts there.
            self.kept_ms = kept_ms if self.audio_bytes else max(heard_ms or 0, 0)
        return kept_ms


_Item = UserText | UserAudio | Said | Note


class Conversation:
    """Items in the order they happened. The same calls make the same requests."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._numbers = count(1)
        self._items: list[_Item] = []

    def new_id(self, prefix: str) -> str:
        """An id that nothing else in this conversation has."""
        return f"{prefix}_{self._tag}_{next(self._numbers)}"

    def restore(self, history: History) -> None:
        """Go on from what the journal knows; of the rest only speech is kept that nobody understood yet."""
        unheard = [item for item in self._items if isinstance(item, UserAudio) and item.words is None]
        self._items = []
        for item in history.items:
            self._restore(item)
        for audio in unheard:
            self._add(audio)

    def _restore(self, item: ConversationItem) -> None:
        match item:
            case UserItem(item_id, text):
                self._add(UserText(item_id, text))
            case NoteItem(text=text):
                self._add(Note(text))
            case AssistantItem(item_id, text):
                self._said(item_id).append(text)
            case ToolCallItem(item_id, call_id, name, arguments):
                last = self._items[-1] if self._items else None
                said = last if isinstance(last, Said) else self._said(item_id)
                said.call(call_id, name, arguments)
            case ToolOutputItem(call_id=call_id, output=output):
                for call in (call for said in self._answers() for call in said.calls):
                    if call.call_id == call_id:
                        call.output, call.is_restored = output, True

    def _said(self, item_id: str) -> Said:
        said = Said(item_id, item_id, self._free_call_id)
        self._add(said)
        return said

    def typed(self, frame: TextFrame) -> None:
        """The user typed a turn; one that is sent again is the same turn."""
        if not any(isinstance(item, UserText) and item.frame_id == frame.frame_id for item in self._items):
            self._add(UserText(frame.frame_id, frame.text))

    def spoken(self, item_id: str, pcm: bytes) -> None:
        """The user said something: mono int16 PCM at 24 kHz."""
        self._add(UserAudio(item_id, pcm))

    def understood(self, item_id: str, words: str) -> None:
        """The words of a turn that was spoken became known."""
        for item in self._items:
            if isinstance(item, UserAudio) and item.item_id == item_id:
                item.words = words

    def begin(self, response_id: str) -> Said:
        """The assistant begins to answer."""
        said = Said(response_id, self.new_id("item"), self._free_call_id)
        for item in self._items:
            if isinstance(item, UserAudio) and item.words is not None:
                item.pcm = b""  # from here on its words stand for it
        self._add(said)
        return said

    def response(self, response_id: str) -> Said | None:
        """An answer of this conversation, while it is kept."""
        return next((said for said in self._answers() if said.response_id == response_id), None)

    def returned(self, frame: ToolResultFrame) -> bool:
        """A tool returned; whether the model now owes an answer to all that its response called.

        Raises:
            ProviderError: it called no such tool, or has the output already; nothing changed.
        """
        for said in self._answers():
            for call in said.calls:
                if call.call_id == frame.call_id:
                    if call.is_restored:
                        return False
                    if call.output is not None:
                        raise ProviderError("this tool call has its output", reason=Reason.INVALID_REQUEST)
                    call.output = frame.output
                    return said.goes_on and all(call.output is not None for call in said.calls)
        raise ProviderError("the provider called no such tool here", reason=Reason.NOT_FOUND)

    def messages(self) -> list[Message]:
        """The conversation as messages: the newest turn as audio, earlier ones as their words."""
        last_answer = max(
            (at for at, item in enumerate(self._items) if isinstance(item, Said) and not item.is_empty),
            default=-1,
        )
        with_audio = self._sent_as_audio(last_answer)
        messages: list[Message] = []
        for item in self._items:
            match item:
                case UserText(text=text):
                    messages.append({"role": "user", "content": text})
                case UserAudio(item_id=item_id, words=words):
                    content = _input_audio(item.pcm) if item_id in with_audio else words or NOT_KEPT
                    messages.append({"role": "user", "content": content})
                case Note(text=text):
                    messages.append({"role": "system", "content": text})
                case Said():
                    messages += _told(item)
        return messages

    def _sent_as_audio(self, last_answer: int) -> frozenset[str]:
        """Turns nobody answered yet, and those whose words nobody knows; the newest, within the bound."""
        chosen: set[str] = set()
        room_bytes = AUDIO_BYTES_MAX
        for at, item in reversed(list(enumerate(self._items))):
            if isinstance(item, UserAudio) and item.pcm and (at > last_answer or item.words is None):
                room_bytes -= len(item.pcm)
                if room_bytes < 0:
                    break
                chosen.add(item.item_id)
        return frozenset(chosen)

    def _add(self, item: _Item) -> None:
        self._items.append(item)
        del self._items[:-ITEMS_MAX]
        kept_bytes = 0
        for old in reversed(self._items):
            if isinstance(old, UserAudio):
                kept_bytes += len(old.pcm)
                if kept_bytes > AUDIO_BYTES_MAX:
                    old.pcm = b""

    def _answers(self) -> Iterator[Said]:
        return (item for item in reversed(self._items) if isinstance(item, Said))

    def _free_call_id(self, call_id: str) -> str:
        taken = any(call.call_id == call_id for said in self._answers() for call in said.calls)
        return call_id if call_id and not taken else self.new_id("call")


def wav(pcm: bytes) -> bytes:
    """Mono int16 PCM at 24 kHz as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE_HZ)
        out.writeframes(pcm)
    return file.getvalue()


def _input_audio(pcm: bytes) -> list[Message]:
    data = base64.b64encode(wav(pcm)).decode()
    return [{"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}]


def _told(said: Said) -> list[Message]:
    """An answer, with the calls that have returned: servers refuse a call that nothing answers."""
    calls = [call for call in said.calls if call.output is not None]
    text = said.text
    if not text and not calls:
        return []
    message: Message = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = [
            {
                "id": call.call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in calls
        ]
    outputs = [{"role": "tool", "tool_call_id": call.call_id, "content": call.output} for call in calls]
    return [message, *outputs]
