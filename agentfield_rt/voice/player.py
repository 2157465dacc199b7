"""Paces the agent's audio to a caller whose media we carry, and knows what was heard of it.

Where media flows browser ↔ provider, the provider does this and reports the same events.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agentfield_rt.frames import FRAME_BYTES, FRAME_MS, PlaybackStarted, PlaybackStopped
from agentfield_rt.voice.utterances import PLAY_MAX_S

LEAD_MS = 120
"""How far ahead of playback frames are handed over: covers a stall of the loop, costs as much at a cut."""

BUFFER_MAX_MS = int(PLAY_MAX_S * 1000)
"""Audio that waits, of all responses together: as much as the longest utterance, 14.4 MB."""

REFUSED_MAX = 16


class Caller(Protocol):
    """Where the audio goes."""

    async def play(self, pcm: bytes) -> None:
        """Take at most 20 ms of mono int16 PCM at 24 kHz."""
        ...

    async def clear(self) -> None:
        """Drop what is queued."""
        ...


@dataclass(slots=True)
class _Item:
    response_id: str
    waiting: bytearray
    complete: bool = False
    cut: bool = False
    played_bytes: int = 0
    started_at: float | None = None


class Player:
    """Plays responses one after another, in real time.

    Args:
        caller: Takes the audio.
        report: Is told when a response begins to be heard and when it is over.
    """

    def __init__(self, caller: Caller, report: Callable[[PlaybackStarted | PlaybackStopped], None]) -> None:
        self._caller = caller
        self._report = report
        self._items: deque[_Item] = deque()
        self._wake = asyncio.Event()
        self._refused: deque[str] = deque(maxlen=REFUSED_MAX)

    def give(self, response_id: str, pcm: bytes) -> None:
        """Queue audio of a response. One that exceeds `BUFFER_MAX_MS` is cut there, and reported as cut."""
        if response_id in self._refused:
            return
        room_bytes = BUFFER_MAX_MS // FRAME_MS * FRAME_BYTES - sum(len(item.waiting) for item in self._items)
        item = self._item(response_id)
        item.waiting += pcm[:room_bytes]
        if len(pcm) > room_bytes:
            item.complete = item.cut = True
            self._refused.append(response_id)
        self._wake.set()

    def refuse(self, response_id: str) -> None:
        """Take no more audio of this response, and forget what of it was never begun."""
        self._refused.append(response_id)
        self._items = deque(
            item for item in self._items if item.response_id != response_id or item.started_at is not None
        )

    def finish(self, response_id: str) -> None:
        """No more audio comes for this response."""
        for item in self._items:
            if item.response_id == response_id:
                item.complete = True
        self._wake.set()

    def heard_ms(self, response_id: str) -> int:
        """How much of a response the caller has heard by now."""
        for item in self._items:
            if item.response_id == response_id and item.started_at is not None:
                sent_ms = item.played_bytes // (FRAME_BYTES // FRAME_MS)
                return min(sent_ms, int((asyncio.get_running_loop().time() - item.started_at) * 1000))
        return 0

    async def clear(self) -> None:
        """Silence, now."""
        items = list(self._items)
        self._items.clear()
        await self._caller.clear()
        for item in items:
            self._report(PlaybackStopped(item.response_id, cleared=True))

    async def run(self) -> None:
        """Play until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._items and (self._items[0].complete or self._has_frame(self._items[0])):
                await self._step(self._items[0])

    def _item(self, response_id: str) -> _Item:
        for item in self._items:
            if item.response_id == response_id:
                return item
        self._items.append(_Item(response_id, bytearray()))
        return self._items[-1]

    @staticmethod
    def _has_frame(item: _Item) -> bool:
        return len(item.waiting) >= FRAME_BYTES

    async def _step(self, item: _Item) -> None:
        """Play one frame, or let the response end when all of it has been heard."""
        now = asyncio.get_running_loop().time()
        if item.started_at is None:
            item.started_at = now
            self._report(PlaybackStarted(item.response_id))
        ahead_s = item.played_bytes / FRAME_BYTES * FRAME_MS / 1000 - (now - item.started_at)
        if ahead_s < 0:
            item.started_at = now - item.played_bytes / FRAME_BYTES * FRAME_MS / 1000  # no burst after a gap
        frame = bytes(item.waiting[:FRAME_BYTES])
        if not frame:
            await asyncio.sleep(max(ahead_s, 0))
            if self._items and self._items[0] is item:
                self._items.popleft()
                self._report(PlaybackStopped(item.response_id, cleared=item.cut))
            return
        if ahead_s > LEAD_MS / 1000:
            await asyncio.sleep(ahead_s - LEAD_MS / 1000)
        if self._items and self._items[0] is item:  # not cleared meanwhile
            item.played_bytes += len(frame)
            del item.waiting[: len(frame)]
            await self._caller.play(frame)
