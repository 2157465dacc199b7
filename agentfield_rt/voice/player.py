"""Paces the agent's audio to a caller whose media we carry, and knows what was heard of it.

Where media flows browser ↔ provider, the provider does this and reports the same events.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from agentfield_rt.controller.calls import Rest, first_step
from agentfield_rt.frames import BYTES_PER_MS, FRAME_BYTES, FRAME_MS, PlaybackStarted, PlaybackStopped
from agentfield_rt.handover import run_as
from agentfield_rt.idle import Recent, Signal
from agentfield_rt.voice.tasks import Spawn
from agentfield_rt.voice.utterances import PLAY_MAX_S

LEAD_MS = 120
"""How far ahead of playback frames are handed over: covers a stall of the loop, costs as much at a cut."""

BUFFER_MAX_MS = int(PLAY_MAX_S * 1000)
"""Audio that waits, of all responses together: as much as the longest utterance, 14.4 MB."""

REFUSED_MAX = 16

CLEAR_MAX_S = 1.0
"""How long a caller may take to be silenced before the provider is told. Nothing more is handed over."""

CONFIRM_MAX_S = 2.0
"""How long after a response should have been heard its caller's side may take to say so."""

_BYTES_PER_S = BYTES_PER_MS * 1000
_LEAD_S = LEAD_MS / 1000


class Caller(Protocol):
    """Where the audio goes."""

    async def play(self, pcm: bytes) -> None:
        """Take at most 20 ms of mono int16 PCM at 24 kHz."""
        ...

    async def clear(self) -> None:
        """Drop what is queued; cancelled after `CLEAR_MAX_S`."""
        ...


@runtime_checkable
class ConfirmingCaller(Caller, Protocol):
    """A caller whose side says what it has played; what is not said was not heard."""

    @property
    def heard_ms(self) -> int:
        """How much was heard of all that was ever handed over. What was dropped counts as well."""
        ...

    async def confirmed(self) -> None:
        """Return once all that was handed over has been heard or dropped."""
        ...


@dataclass(slots=True)
class _Item:
    response_id: str
    waiting: bytearray
    complete: bool = False
    cut: bool = False
    played_bytes: int = 0
    played_before_bytes: int = 0
    started_at: float | None = None


class Player:
    """Plays responses one after another, in real time.

    Args:
        caller: Takes the audio.
        report: Is told when a response begins to be heard and when it is over.
        spawn: Runs what has to wait, from the first audio to the end of the session.
    """

    def __init__(
        self,
        caller: Caller,
        report: Callable[[PlaybackStarted | PlaybackStopped], None],
        spawn: Spawn,
    ) -> None:
        self._caller = caller
        self._confirming = caller if isinstance(caller, ConfirmingCaller) else None
        self._played_bytes = 0
        self._report = report
        self._spawn = spawn
        self._items: list[_Item] = []
        self._task: asyncio.Task[None] | None = None
        self._rest: Rest[None] | None = None
        self._waits = Signal()
        self._refused = Recent(REFUSED_MAX)

    def give(self, response_id: str, pcm: bytes) -> None:
        """Queue audio of a response for `go_on`. One that exceeds `BUFFER_MAX_MS` is cut, and reported so."""
        if response_id in self._refused:
            return
        room_bytes = BUFFER_MAX_MS // FRAME_MS * FRAME_BYTES
        for queued in self._items:
            room_bytes -= len(queued.waiting)
        item = self._item(response_id)
        item.waiting += pcm[:room_bytes]
        if len(pcm) > room_bytes:
            item.complete = item.cut = True
            self._refused.add(response_id)

    def refuse(self, response_id: str) -> None:
        """Take no more audio of this response, and forget what of it was never begun."""
        self._refused.add(response_id)
        self._items = [
            item for item in self._items if item.response_id != response_id or item.started_at is not None
        ]

    def finish(self, response_id: str) -> None:
        """No more audio comes for this response."""
        for item in self._items:
            if item.response_id == response_id:
                item.complete = True

    def heard_ms(self, response_id: str) -> int:
        """How much of a response the caller has heard by now."""
        for item in self._items:
            if item.response_id == response_id and item.started_at is not None:
                sent_ms = item.played_bytes // BYTES_PER_MS
                if self._confirming is not None:
                    before_ms = item.played_before_bytes // BYTES_PER_MS
                    return min(sent_ms, max(self._confirming.heard_ms - before_ms, 0))
                return min(sent_ms, int((asyncio.get_running_loop().time() - item.started_at) * 1000))
        return 0

    async def clear(self) -> None:
        """Silence, now."""
        items, self._items = self._items, []
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLEAR_MAX_S):
                    await self._caller.clear()
        finally:  # nothing more of them is played, whatever the caller's side made of it
            for item in items:
                self._report(PlaybackStopped(item.response_id, cleared=True))

    def go_on(self) -> None:
        """Play what may be heard now, in the task that brought it; the player's does what waits.

        Asked for once all that came together was taken: what came may also have cut it.
        """
        if self._rest is not None or not self._has_work:
            return
        if self._task is None:
            self._task = self._spawn(self._wait(), "player")
        # As if that task had begun it: an `asyncio.timeout` of the caller's is bound to it.
        if (rest := run_as(self._task, first_step, self._play())) is not None:
            self._rest = rest
            self._waits.set()

    async def _wait(self) -> None:
        while True:
            await self._waits.wait()
            self._waits.clear()
            if self._rest is not None:
                await self._rest
                self._rest = None

    async def _play(self) -> None:
        """Play frame by frame, and let a response end when all of it has been heard."""
        while self._has_work:
            item = self._items[0]
            ahead_s = self._ahead_s(item)
            if not item.waiting:
                await self._heard_out(max(ahead_s, 0))
                if self._items and self._items[0] is item:
                    del self._items[0]
                    self._report(PlaybackStopped(item.response_id, cleared=item.cut))
                continue
            if ahead_s > _LEAD_S:
                await asyncio.sleep(ahead_s - _LEAD_S)
            if self._items and self._items[0] is item:  # not cleared meanwhile
                frame = bytes(item.waiting[:FRAME_BYTES])
                item.played_bytes += len(frame)
                self._played_bytes += len(frame)
                del item.waiting[: len(frame)]
                await self._caller.play(frame)

    @property
    def _has_work(self) -> bool:
        if not self._items:
            return False
        item = self._items[0]
        return item.complete or len(item.waiting) >= FRAME_BYTES

    def _item(self, response_id: str) -> _Item:
        for item in self._items:
            if item.response_id == response_id:
                return item
        self._items.append(_Item(response_id, bytearray()))
        return self._items[-1]

    def _ahead_s(self, item: _Item) -> float:
        """By how much what the caller was given is longer than the time since the response began."""
        now_s = asyncio.get_running_loop().time()
        if item.started_at is None:
            item.started_at = now_s
            item.played_before_bytes = self._played_bytes
            self._report(PlaybackStarted(item.response_id))
        given_s = item.played_bytes / _BYTES_PER_S
        if now_s - item.started_at > given_s:
            item.started_at = now_s - given_s  # no burst after a gap
            return 0.0
        return given_s - (now_s - item.started_at)

    async def _heard_out(self, ahead_s: float) -> None:
        """Return when what was handed over has been heard: by the clock, or by the caller's own word."""
        if self._confirming is None:
            await asyncio.sleep(ahead_s)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ahead_s + CONFIRM_MAX_S):
                await self._confirming.confirmed()
