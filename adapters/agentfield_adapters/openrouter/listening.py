"""The user's side of a connection: turns as they are heard, and their words once somebody knows them."""

import asyncio
from collections.abc import Callable

from agentfield_adapters.openrouter.client import NoTranscripts
from agentfield_adapters.openrouter.failures import TurnFailed
from agentfield_adapters.openrouter.hearing import Ears, TurnBegan, TurnEnded
from agentfield_adapters.openrouter.line import Line
from agentfield_rt.frames import InputRejected, InputTranscript, Notice, SpeechStarted, SpeechStopped

TRANSCRIPTS_MAX = 8
"""Turns whose words are waited for; of one more nobody will know them."""


class Listener:
    """Hears one user.

    Args:
        began: Called when the user begins to speak.
        ended: Called when a turn is part of the conversation.
    """

    def __init__(
        self, line: Line, ears: Ears, *, began: Callable[[], None], ended: Callable[[], None]
    ) -> None:
        self._line = line
        self._buffer = line.buffer
        self._conversation = line.conversation
        self._ears = ears
        self._began = began
        self._ended = ended
        self._item_id: str | None = None
        self._has_transcripts = True
        self._in_order = asyncio.Lock()
        self._transcripts: set[asyncio.Task[None]] = set()

    async def hear(self, pcm: bytes) -> None:
        """Take audio, mono int16 PCM at 24 kHz. Waits while nobody receives what was found before."""
        await self._buffer.room()
        for change in self._ears.hear(pcm):
            match change:
                case TurnBegan():
                    self._item_id = self._conversation.new_id("item")
                    self._buffer.append(SpeechStarted(self._item_id))
                    self._began()
                case TurnEnded(pcm=turn):
                    item_id = self._item_id or self._conversation.new_id("item")
                    self._item_id = None
                    self._buffer.append(SpeechStopped(item_id))
                    self._add(item_id, turn)
                    self._ended()

    def commit(self) -> bool:
        """Somebody says that the user's turn is over; whether there was one that nobody had found."""
        if (pcm := self._ears.commit()) is None:
            return False
        self._add(self._conversation.new_id("item"), pcm)
        return True

    def retire(self) -> None:
        """Hear nothing more, and wait for no words."""
        for task in self._transcripts:
            task.cancel()

    def _add(self, item_id: str, pcm: bytes) -> None:
        self._conversation.spoken(item_id, pcm)
        if not self._has_transcripts or len(self._transcripts) >= TRANSCRIPTS_MAX:
            self._buffer.append(InputRejected(item_id))
            return
        task = asyncio.create_task(self._transcribe(item_id, pcm), name=f"transcript {item_id}")
        self._transcripts.add(task)
        task.add_done_callback(self._transcripts.discard)

    async def _transcribe(self, item_id: str, pcm: bytes) -> None:
        """One after another, so that turns become known in the order in which they were spoken."""
        words = ""
        async with self._in_order:
            try:
                if self._has_transcripts:
                    words = (await self._line.client.transcript(pcm, self._line.hints)).strip()
            except NoTranscripts:
                self._has_transcripts = False
            except TurnFailed as failure:
                self._buffer.append(Notice("error", failure.reason.value))
            if words:
                self._conversation.understood(item_id, words)
                self._buffer.append(InputTranscript(item_id, words, final=True))
            else:
                self._buffer.append(InputRejected(item_id))
