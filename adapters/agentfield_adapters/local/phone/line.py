"""The caller's end of a phone call, in place of a peer connection: speaks what it is told to, and hears."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from agentfield_adapters.local.call.speech import CallPlayback
from agentfield_adapters.local.conversation.conversation import Conversation
from agentfield_adapters.local.ear_rate import EAR_RATE_HZ
from agentfield_adapters.local.mouth.voice import Speaks
from agentfield_adapters.local.protocol.dialling import DigitReceived

_log = logging.getLogger(__name__)

VOICE = "coral"
TEXTS_MAX = 32
TICK_S = 0.02
_TICK_BYTES = EAR_RATE_HZ // 50 * 2
_SILENCE = bytes(_TICK_BYTES)
_SILENT_TICKS_MAX = 250
"""A turn that has not ended after five seconds of silence is not ended by more of it."""


class PhoneLine:
    """A telephone that was answered.

    Args:
        mouth: The caller's.
        times_real_time: How fast both speak.
        on_gone: Called when the line fails.
    """

    def __init__(
        self,
        conversation: Conversation,
        playback: CallPlayback,
        mouth: Speaks,
        *,
        times_real_time: float,
        on_gone: Callable[[], None],
    ) -> None:
        self._conversation = conversation
        self._playback = playback
        self._mouth = mouth
        self._tick_s = TICK_S / times_real_time
        self._on_gone = on_gone
        self._texts: asyncio.Queue[str] = asyncio.Queue(TEXTS_MAX)
        self._tasks = [
            asyncio.create_task(self._listen(), name="phone hears"),
            asyncio.create_task(self._speak(), name="phone speaks"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._task_ended)

    def say(self, text: str) -> bool:
        """Let the caller say this after what waits; False when too much does."""
        if self._texts.full():
            return False
        self._texts.put_nowait(text)
        return True

    def dial(self, keys: str) -> None:
        """Let the caller press these keys."""
        for key in keys:
            self._conversation.stream.emit(DigitReceived(key, int(time.time())))

    async def close(self) -> None:
        """Put the receiver down."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            self._playback.next_frame()
            await asyncio.sleep(self._tick_s)

    async def _speak(self) -> None:
        while True:
            text = await self._texts.get()
            async for _, pcm in self._mouth.speak(text, voice=VOICE, speed=1.0, rate_hz=EAR_RATE_HZ):
                for start in range(0, len(pcm), _TICK_BYTES):
                    await self._hear(pcm[start : start + _TICK_BYTES])
            for _ in range(_SILENT_TICKS_MAX):
                await self._hear(_SILENCE)
                if not self._conversation.listener.in_turn:
                    break

    async def _hear(self, pcm: bytes) -> None:
        await self._conversation.hear(pcm)
        await asyncio.sleep(self._tick_s)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed; the call ends: %s", task.get_name(), type(error).__name__)
            self._on_gone()
