"""Something the agent says: what is left of it to say, and what the caller heard."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from agentfield_rt.errors import Reason
from agentfield_rt.frames import SpeechFrame
from agentfield_rt.history import GO_ON
from agentfield_rt.voice.heard import HeardText, after_words
from agentfield_rt.voice.link import UtteranceState


@dataclass(slots=True, eq=False)
class Utterance:
    """Something to be said. Satisfies `UtteranceTicket`.

    Attributes:
        part: How often it was taken up again on a new connection, from what had not been heard.
        before: What was heard of the parts before this one, in `before_ms`.
        rest: What is left to say, where the words are known; None: all of it.
        in_vain: Parts in a row of which nothing was heard.
        heard_ms: How much of this part was heard, once it is cut.
    """

    utterance_id: str
    text: str | None
    instructions: str | None
    turn_id: str | None
    _state: UtteranceState = UtteranceState.PLANNED
    response_id: str | None = None
    reason: Reason | None = None
    transcript: HeardText = field(default_factory=HeardText)
    started_at: float | None = None
    heard_ms: int | None = None
    audio_bytes: int = 0
    unwanted: bool = False
    part: int = 0
    before: str = ""
    before_ms: int = 0
    rest: str | None = None
    in_vain: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    part_over: asyncio.Event = field(default_factory=asyncio.Event)
    final: asyncio.Event = field(default_factory=asyncio.Event)
    _watcher: Callable[[], None] | None = None

    @property
    def state(self) -> UtteranceState:
        return self._state

    @state.setter
    def state(self, state: UtteranceState) -> None:
        self._state = state
        if self._watcher is not None:
            self._watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        self._watcher = watcher

    @property
    def heard(self) -> str:
        if self.state is UtteranceState.INTERRUPTED:
            return self._with_before(self.transcript.until(self.heard_ms or 0))
        return self._with_before(self.transcript.whole)

    @property
    def heard_total_ms(self) -> int:
        """How long the caller listened to it, all parts together."""
        return self.before_ms + (self.heard_ms or 0)

    @property
    def frame_id(self) -> str:
        """The frame that asks for it, another one for each part."""
        name = f"say_{self.utterance_id.removeprefix('utt_')}"
        return f"{name}.{self.part}" if self.part else name

    @property
    def frame(self) -> SpeechFrame:
        """What is asked of the provider: what the caller has not heard yet."""
        text = self.text if self.rest is None else self.rest
        if text is not None:
            return SpeechFrame(self.frame_id, self.utterance_id, text)
        parts = (self.instructions, GO_ON if self.before else None)
        return SpeechFrame(
            self.frame_id, self.utterance_id, instructions="\n".join(part for part in parts if part)
        )

    def take_up(self, heard_ms: int) -> None:
        """The connection is gone, when `heard_ms` of this part had been heard: the next part begins."""
        heard = self.transcript.until(heard_ms)
        words = self.rest or self.text
        if words is None and self.transcript.is_finished:
            words = self.transcript.whole
        if words is not None:
            self.rest = after_words(words, len(heard.split()))
        self.before, self.before_ms = self._with_before(heard), self.before_ms + heard_ms
        self.in_vain = 0 if heard else self.in_vain + 1
        self.part += 1
        self.transcript = HeardText()
        self.response_id = self.started_at = self.heard_ms = None
        self.audio_bytes = 0

    def _with_before(self, heard: str) -> str:
        return f"{self.before} {heard}".strip() if self.before else heard

    async def wait(self) -> None:
        await self.final.wait()
