"""A session's settings: checks an update as a whole, applies it to the ears, then makes it the session."""

from __future__ import annotations

import asyncio

from msgspec import UnsetType

from agentfield_adapters.local.conversation.answer_slot import AnswerSlot
from agentfield_adapters.local.conversation.scene import Scene
from agentfield_adapters.local.ears.grammar import EVERYDAY, GRAMMAR_CHARACTERS_MAX, is_jsgf
from agentfield_adapters.local.ears.listener import Listener
from agentfield_adapters.local.ears.recogniser import EarsFailed, GrammarRefused
from agentfield_adapters.local.ears.turn_detector import TurnRules
from agentfield_adapters.local.protocol.server_events import SessionUpdated
from agentfield_adapters.local.protocol.session import (
    ServerVad,
    Session,
    SessionPatch,
    Transcription,
    TurnDetection,
)
from agentfield_adapters.local.protocol.validation import Refusal

SEMANTIC_THRESHOLD = 0.5
SEMANTIC_SILENCE_MS = {"high": 320, "medium": 600, "auto": 600, "low": 1000}
_PROMPT = "session.audio.input.transcription.prompt"


class SessionSettings:
    """Applies updates, one at a time: two clients of one call may send them at once."""

    def __init__(self, scene: Scene, listener: Listener, slot: AnswerSlot) -> None:
        self._scene = scene
        self._listener = listener
        self._slot = slot
        self._turnstile = asyncio.Lock()

    async def open(self, patch: SessionPatch | None) -> None:
        """Apply what a client asked for at creation, where the model is still open.

        Raises:
            Refusal: It cannot be had.
        """
        session = self._scene.session if patch is None else self._scene.session.merged(patch)
        await self._apply(session)

    async def update(self, patch: SessionPatch) -> None:
        """Apply an update and tell every client, or refuse it and change nothing.

        Raises:
            Refusal: Something in it cannot be had.
        """
        async with self._turnstile:
            session = self._scene.session
            changed = session.merged(patch)
            self._check_fixed(session, changed)
            await self._apply(changed)
            self._scene.stream.emit(SessionUpdated(changed))

    async def _apply(self, session: Session) -> None:
        try:
            await self._listener.expect(_grammar(session.audio.input.transcription))
        except GrammarRefused as error:
            raise Refusal("invalid_value", f"The grammar is refused: {error}.", _PROMPT) from error
        except EarsFailed as error:
            raise Refusal(
                "server_error", f"Speech recognition is not available: {error}.", _PROMPT
            ) from error
        self._listener.take_turns(_rules(session.audio.input.turn_detection))
        self._scene.session = session

    def _check_fixed(self, session: Session, changed: Session) -> None:
        if changed.model != session.model:
            raise Refusal("invalid_value", "The model of a session cannot be changed.", "session.model")
        if session.tracing is not None and changed.tracing != session.tracing:
            raise Refusal("invalid_value", "Tracing cannot be changed once it is on.", "session.tracing")
        if changed.audio.output.voice != session.audio.output.voice and self._slot.has_spoken:
            raise Refusal(
                "cannot_update_voice",
                "Cannot update a conversation's voice if assistant audio is present.",
                "session.audio.output.voice",
            )


def _grammar(transcription: Transcription | None) -> str | None:
    if transcription is None:
        return None
    prompt = None if isinstance(transcription.prompt, UnsetType) else transcription.prompt
    if prompt is None or not is_jsgf(prompt):
        return EVERYDAY
    if len(prompt) > GRAMMAR_CHARACTERS_MAX:
        raise Refusal("invalid_value", f"A grammar has at most {GRAMMAR_CHARACTERS_MAX} characters.", _PROMPT)
    return prompt


def _rules(detection: TurnDetection | None) -> TurnRules | None:
    if detection is None:
        return None
    if isinstance(detection, ServerVad):
        return TurnRules(detection.threshold, detection.silence_duration_ms)
    return TurnRules(SEMANTIC_THRESHOLD, SEMANTIC_SILENCE_MS[detection.eagerness])
