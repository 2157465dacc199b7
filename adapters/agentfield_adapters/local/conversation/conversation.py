"""One session: takes the events of its clients and the caller's audio, and answers through its stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec import UnsetType, structs

from agentfield_adapters.local.brain import Brain
from agentfield_adapters.local.conversation.answer import AnswerTools
from agentfield_adapters.local.conversation.answer_slot import AnswerSlot
from agentfield_adapters.local.conversation.caller import Caller
from agentfield_adapters.local.conversation.history import History
from agentfield_adapters.local.conversation.playback import Playback
from agentfield_adapters.local.conversation.scene import Scene
from agentfield_adapters.local.conversation.settings import SessionSettings
from agentfield_adapters.local.ears.listener import Listener
from agentfield_adapters.local.ears.recogniser import Recognises
from agentfield_adapters.local.ears.voice_activity import Activity
from agentfield_adapters.local.event_stream import EventListener, EventStream
from agentfield_adapters.local.ids import Ids
from agentfield_adapters.local.mouth.voice import Speaks
from agentfield_adapters.local.protocol.client_events import (
    AnyClientEvent,
    AudioAppend,
    AudioClear,
    AudioCommit,
    ItemCreate,
    ItemDelete,
    ItemRetrieve,
    ItemTruncate,
    OutputAudioClear,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
)
from agentfield_adapters.local.protocol.items import (
    FunctionCall,
    InputAudio,
    Item,
    Message,
    item_id,
)
from agentfield_adapters.local.protocol.server_events import (
    BufferCleared,
    ErrorDetail,
    ItemAdded,
    ItemDeleted,
    ItemDone,
    ItemRetrieved,
    ItemTruncated,
    OutputBufferCleared,
    ServerError,
    SessionCreated,
)
from agentfield_adapters.local.protocol.session import Session, SessionPatch
from agentfield_adapters.local.protocol.validation import Refusal, event_id_of, parse_event
from agentfield_adapters.local.wire_audio import InputDecoder


@dataclass(frozen=True, slots=True)
class Senses:
    """What a conversation hears, speaks and thinks with; conversations may share them.

    Attributes:
        activity: Makes the judge of one caller's audio.
    """

    recogniser: Recognises
    mouth: Speaks
    brain: Brain
    activity: Callable[[], Activity]


class Conversation:
    """A session from its creation to `close`.

    Args:
        session: As it is created.
        senses: What it hears, speaks and thinks with.
        playback: Where speech goes; if it plays here, audio comes in by `hear` and not by events.
    """

    def __init__(self, session: Session, senses: Senses, *, ids: Ids, playback: Playback) -> None:
        self.stream = EventStream(ids)
        self._scene = Scene(session, ids.new("conv"), self.stream, ids, History(ids))
        self._playback = playback
        self._slot = AnswerSlot(self._scene, AnswerTools(senses.brain, senses.mouth, playback))
        self._caller = Caller(self._scene, self._slot)
        self.listener = Listener(senses.recogniser, self._caller, senses.activity())
        self._settings = SessionSettings(self._scene, self.listener, self._slot)
        self._decoder = InputDecoder(session.audio.input.format)

    @property
    def session(self) -> Session:
        """The session as it stands."""
        return self._scene.session

    async def open(self, patch: SessionPatch | None = None) -> None:
        """Get ready, with what the client asked for at creation.

        Raises:
            Refusal: What it asked for cannot be had.
        """
        await self._settings.open(patch)

    def greet(self, client: EventListener) -> None:
        """Send `session.created` to the client that made the session."""
        self.stream.emit_to(client, SessionCreated(self._scene.session))

    async def receive(self, text: str | bytes, client: EventListener) -> None:
        """Take one frame of a client; a refused one is answered with `error` to that client alone."""
        try:
            await self.handle(parse_event(text), client)
        except Refusal as refusal:
            self.refuse(refusal, text, client)

    def refuse(self, refusal: Refusal, text: str | bytes, client: EventListener) -> None:
        """Answer a frame with the error that refuses it, to its client alone."""
        detail = ErrorDetail(
            type="invalid_request_error",
            code=refusal.code,
            message=refusal.message,
            param=refusal.param,
            event_id=event_id_of(text),
        )
        self.stream.emit_to(client, ServerError(detail))

    async def hear(self, pcm: bytes) -> None:
        """Take audio of the caller: mono int16 PCM at 16 kHz."""
        await self.listener.hear(pcm)

    async def close(self) -> None:
        """Stop everything; no event follows."""
        self.listener.close()
        await self._slot.close()

    async def handle(self, event: AnyClientEvent, client: EventListener) -> None:
        """Do what one event asks.

        Raises:
            Refusal: It cannot be done; nothing has changed.
        """
        match event:
            case SessionUpdate():
                await self._settings.update(event.session)
            case AudioAppend():
                await self._append(event)
            case AudioCommit():
                await self._commit()
            case AudioClear():
                self.listener.clear()
                self._caller.cleared()
                self.stream.emit(BufferCleared())
            case ItemCreate():
                self._create_item(event)
            case ItemRetrieve():
                item = self._known(event.item_id, "item_retrieve_invalid_item_id")
                self.stream.emit_to(client, ItemRetrieved(item))
            case ItemTruncate():
                self._truncate(event)
            case ItemDelete():
                self._known(event.item_id, "item_delete_invalid_item_id")
                self._scene.history.delete(event.item_id)
                self.stream.emit(ItemDeleted(event.item_id))
            case ResponseCreate():
                self._slot.create(event.response)
            case ResponseCancel():
                self._cancel(event)
            case OutputAudioClear():
                self._clear_output()

    async def _append(self, event: AudioAppend) -> None:
        if self._playback.plays:
            raise Refusal("invalid_value", "This session's audio comes over its peer connection.", "type")
        format = self._scene.session.audio.input.format
        if format != self._decoder.format:
            self._decoder = InputDecoder(format)
        await self.hear(self._decoder.decoded(event.audio))

    async def _commit(self) -> None:
        heard = await self.listener.commit()
        if heard is None:
            raise Refusal(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio.",
            )
        self._caller.committed(heard)

    def _create_item(self, event: ItemCreate) -> None:
        after = None if isinstance(event.previous_item_id, UnsetType) else event.previous_item_id
        item = self._scene.history.add(self._as_kept(event.item), after=after)
        previous_id = self._scene.history.previous_of(item_id(item))
        self.stream.emit(ItemAdded(item, previous_id))
        self.stream.emit(ItemDone(item, previous_id))

    def _as_kept(self, item: Item) -> Item:
        """Complete an item of a client: a status, a call id, and no audio bytes."""
        if isinstance(item, Message):
            parts = [
                InputAudio(transcript=p.transcript) if isinstance(p, InputAudio) else p for p in item.content
            ]
            return structs.replace(item, content=parts, status="completed")
        if isinstance(item, FunctionCall) and isinstance(item.call_id, UnsetType):
            item = structs.replace(item, call_id=self._scene.ids.new("call"))
        return structs.replace(item, status="completed")

    def _known(self, key: str, code: str) -> Item:
        item = self._scene.history.get(key)
        if item is None:
            raise Refusal(code, f"Item with id '{key}' does not exist.", "item_id")
        return item

    def _truncate(self, event: ItemTruncate) -> None:
        self._known(event.item_id, "item_truncate_invalid_item_id")
        produced_ms = self._slot.produced_ms(event.item_id)
        if produced_ms is None:
            raise Refusal(
                "unsupported_content_type",
                "Only spoken messages of the assistant can be truncated.",
                "item_id",
            )
        if event.content_index != 0:
            raise Refusal("invalid_value", "The message has one content part, 0.", "content_index")
        if event.audio_end_ms > produced_ms:
            raise Refusal(
                "invalid_value",
                f"Audio content of {produced_ms}ms is already shorter than {event.audio_end_ms}ms",
                "audio_end_ms",
            )
        self._slot.cut(event.item_id)
        self.stream.emit(ItemTruncated(event.item_id, 0, event.audio_end_ms))

    def _cancel(self, event: ResponseCancel) -> None:
        response_id = None if isinstance(event.response_id, UnsetType) else event.response_id
        if not self._slot.cancel("client_cancelled", response_id):
            raise Refusal("response_cancel_not_active", "Cancellation failed: no active response found.")

    def _clear_output(self) -> None:
        if not self._playback.plays:
            raise Refusal("invalid_value", "Only a call has an output audio buffer.", "type")
        if not self._slot.cancel("client_cancelled"):
            self.stream.emit(OutputBufferCleared(self._slot.last_response_id))
