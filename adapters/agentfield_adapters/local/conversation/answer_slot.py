"""The one slot for an answer that a conversation has; answers outside the conversation run beside it."""

from __future__ import annotations

import asyncio

from msgspec import UNSET, UnsetType, structs

from agentfield_adapters.local.brain import Prompt
from agentfield_adapters.local.conversation.answer import Answer, AnswerRequest, AnswerTools, CancelReason
from agentfield_adapters.local.conversation.answer_items import AnswerDesk
from agentfield_adapters.local.conversation.scene import Scene
from agentfield_adapters.local.protocol.client_events import (
    ItemReference,
    ResponseAudio,
    ResponseAudioOutput,
    ResponseOptions,
)
from agentfield_adapters.local.protocol.items import Item, Message, OutputAudio
from agentfield_adapters.local.protocol.session import OutputSettings
from agentfield_adapters.local.protocol.validation import Refusal

OUT_OF_BAND_MAX = 4
NO_OPTIONS = ResponseOptions()


class AnswerSlot:
    """Starts and stops answers."""

    def __init__(self, scene: Scene, tools: AnswerTools) -> None:
        self._scene = scene
        self._tools = tools
        self._active: Answer | None = None
        self._beside: set[Answer] = set()
        self._produced_ms: dict[str, int] = {}
        self.heard_ms = 0  # of the caller's last turn
        self.last_response_id = ""
        self.has_spoken = False

    @property
    def busy(self) -> bool:
        """Whether an answer is being given."""
        return self._active is not None

    def create(self, options: ResponseOptions = NO_OPTIONS) -> None:
        """Start an answer.

        Raises:
            Refusal: One is being given, or an item it refers to does not exist.
        """
        in_conversation = options.conversation != "none"
        if in_conversation and self._active is not None:
            raise Refusal(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {self._active.response_id}."
                " Wait until the response is finished before creating a new one.",
            )
        request = self._request(options, in_conversation=in_conversation)
        if not in_conversation and (request.spoken and self._tools.playback.plays):
            raise Refusal(
                "invalid_value",
                "A response outside the conversation has no place in the call's audio: ask for text.",
                "response.output_modalities",
            )
        if len(self._beside) >= OUT_OF_BAND_MAX:
            raise Refusal("invalid_value", f"At most {OUT_OF_BAND_MAX} responses run beside a conversation.")
        self._start(request, in_conversation=in_conversation)

    def cancel(self, reason: CancelReason, response_id: str | None = None) -> bool:
        """Stop the answer at once; False when there is none, or not that one."""
        if self._active is not None and response_id in (None, self._active.response_id):
            self._active.cancel(reason)
            return True
        for answer in self._beside:
            if answer.response_id == response_id:
                answer.cancel(reason)
                return True
        return False

    def produced_ms(self, key: str) -> int | None:
        """Return how much speech an item has, or None when it has none."""
        if self._active is not None and (running := self._active.speaking_ms(key)) is not None:
            return running
        return self._produced_ms.get(key)

    def cut(self, key: str) -> None:
        """Remove the transcript of a spoken item, as the service does when it is truncated."""
        item = self._scene.history.get(key)
        if isinstance(item, Message):
            self._scene.history.replace(structs.replace(item, content=[OutputAudio()]))

    async def close(self) -> None:
        """Stop every answer and wait for it."""
        answers = [*self._beside, *([self._active] if self._active else [])]
        for answer in answers:
            answer.cancel("client_cancelled")
        await asyncio.gather(*(answer.wait() for answer in answers))

    def _start(self, request: AnswerRequest, *, in_conversation: bool) -> None:
        scene = self._scene
        desk = AnswerDesk(
            response_id=scene.ids.new("resp"),
            stream=scene.stream,
            ids=scene.ids,
            history=scene.history if in_conversation else None,
            audio_format=request.output.format,
            plays=self._tools.playback.plays,
        )

        def ended() -> None:
            self._produced_ms.update(answer.produced_ms)
            if answer is self._active:
                self._active = None
            self._beside.discard(answer)

        answer = Answer(request, self._tools, desk, on_end=ended, on_cut=self.cut)
        self.last_response_id = desk.response_id
        if in_conversation:
            self._active = answer
        else:
            self._beside.add(answer)
        self.has_spoken = self.has_spoken or request.spoken
        answer.start()

    def _request(self, options: ResponseOptions, *, in_conversation: bool) -> AnswerRequest:
        session = self._scene.session
        instructions = (
            session.instructions if isinstance(options.instructions, UnsetType) else options.instructions
        )
        tools = session.tools if isinstance(options.tools, UnsetType) else options.tools
        choice = session.tool_choice if isinstance(options.tool_choice, UnsetType) else options.tool_choice
        limit = options.max_output_tokens
        modalities = options.output_modalities
        return AnswerRequest(
            prompt=Prompt(instructions, self._items(options), tools, choice, self.heard_ms / 1000),
            conversation_id=self._scene.conversation_id if in_conversation else None,
            spoken=tuple(session.output_modalities if isinstance(modalities, UnsetType) else modalities)
            == ("audio",),
            output=_output(session.audio.output, options.audio),
            max_output_tokens=session.max_output_tokens if isinstance(limit, UnsetType) else limit,
            metadata=None if isinstance(options.metadata, UnsetType) else options.metadata,
        )

    def _items(self, options: ResponseOptions) -> list[Item]:
        if isinstance(options.input, UnsetType):
            return list(self._scene.history.items())
        items: list[Item] = []
        for index, item in enumerate(options.input):
            if isinstance(item, ItemReference):
                found = self._scene.history.get(item.id)
                if found is None:
                    raise Refusal(
                        "invalid_value", f"Item '{item.id}' does not exist.", f"response.input[{index}].id"
                    )
                items.append(found)
            else:
                items.append(item)
        return items


def _output(settings: OutputSettings, audio: ResponseAudio | UnsetType) -> OutputSettings:
    if isinstance(audio, ResponseAudio) and isinstance(audio.output, ResponseAudioOutput):
        sent = {"format": audio.output.format, "voice": audio.output.voice}
        return structs.replace(
            settings, **{name: value for name, value in sent.items() if value is not UNSET}
        )
    return settings
