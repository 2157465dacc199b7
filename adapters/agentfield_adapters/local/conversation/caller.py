"""The caller's side of a conversation: what the ears notice becomes items, events and interruptions."""

from __future__ import annotations

from msgspec import structs

from agentfield_adapters.local.conversation.answer_slot import AnswerSlot
from agentfield_adapters.local.conversation.scene import Scene
from agentfield_adapters.local.ears.listener import Heard
from agentfield_adapters.local.protocol.items import InputAudio, Message, item_id
from agentfield_adapters.local.protocol.server_events import (
    BufferCommitted,
    DurationUsage,
    ItemAdded,
    ItemDone,
    SpeechStarted,
    SpeechStopped,
    TranscriptionCompleted,
    TranscriptionDelta,
    TranscriptionError,
    TranscriptionFailed,
)
from agentfield_adapters.local.protocol.session import ServerVad

PREFIX_PADDING_MS_DEFAULT = 300


class Caller:
    """Hears for one conversation (`Hearing` of the ears)."""

    def __init__(self, scene: Scene, slot: AnswerSlot) -> None:
        self._scene = scene
        self._slot = slot
        self._turn_id: str | None = None

    def speech_started(self, at_ms: int) -> None:
        """Announce a turn under the id its item will have, and fall silent if so configured."""
        self._turn_id = self._scene.ids.new("item")
        detection = self._scene.session.audio.input.turn_detection
        padding_ms = (
            detection.prefix_padding_ms if isinstance(detection, ServerVad) else PREFIX_PADDING_MS_DEFAULT
        )
        self._scene.stream.emit(SpeechStarted(max(0, at_ms - padding_ms), self._turn_id))
        if detection is not None and detection.interrupt_response:
            self._slot.cancel("turn_detected")

    def words_heard(self, words: str) -> None:
        """Pass on words of the turn while it is spoken."""
        if self._turn_id is not None:
            padding = self._scene.ids.padding()
            self._scene.stream.emit(TranscriptionDelta(self._turn_id, 0, words, padding))

    def speech_stopped(self, at_ms: int, heard: Heard) -> None:
        """Make an item of the turn, answer if so configured, and say what was understood."""
        key, self._turn_id = self._turn_id or self._scene.ids.new("item"), None
        self._scene.stream.emit(SpeechStopped(at_ms, key))
        item = self._add(key, heard)
        detection = self._scene.session.audio.input.turn_detection
        answers = detection is not None and detection.create_response and not self._slot.busy
        if answers:
            self._slot.create()
        self._tell_transcript(item, heard)

    def committed(self, heard: Heard) -> None:
        """Make an item of a turn that was ended by hand; that never starts an answer."""
        key, self._turn_id = self._turn_id or self._scene.ids.new("item"), None
        self._tell_transcript(self._add(key, heard), heard)

    def cleared(self) -> None:
        """Forget an open turn."""
        self._turn_id = None

    def _add(self, key: str, heard: Heard) -> Message:
        scene = self._scene
        self._slot.heard_ms = heard.duration_ms
        previous_id = scene.history.last_id
        unheard = Message(id=key, role="user", content=[InputAudio()], status="completed")
        scene.history.add(unheard)
        scene.stream.emit(BufferCommitted(key, previous_id))
        scene.stream.emit(ItemAdded(unheard, previous_id))
        scene.stream.emit(ItemDone(unheard, previous_id))
        if heard.recognised is None or heard.recognised.text is None:
            return unheard
        item = structs.replace(unheard, content=[InputAudio(transcript=heard.recognised.text)])
        scene.history.replace(item)
        return item

    def _tell_transcript(self, item: Message, heard: Heard) -> None:
        if self._scene.session.audio.input.transcription is None:
            return
        key = item_id(item)
        if heard.recognised is None:
            error = TranscriptionError("The recogniser is not available.", code="recogniser_unavailable")
            self._scene.stream.emit(TranscriptionFailed(key, 0, error))
        elif heard.recognised.text is None:
            error = TranscriptionError("The speech fits nothing that is expected here.")
            self._scene.stream.emit(TranscriptionFailed(key, 0, error))
        else:
            usage = DurationUsage(heard.duration_ms / 1000)
            self._scene.stream.emit(TranscriptionCompleted(key, 0, heard.recognised.text, usage))
