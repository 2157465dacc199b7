"""The player alone: what waits is bounded, what was played is let go, and what did not fit counts as cut."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentfield_rt.core import records
from agentfield_rt.frames import FRAME_BYTES, FRAME_MS, PlaybackStarted, PlaybackStopped
from agentfield_rt.voice import player as player_module
from agentfield_rt.voice.link import UtteranceState
from agentfield_rt.voice.player import BUFFER_MAX_MS, LEAD_MS, Player
from agentfield_rt.voice.utterances import PLAY_MAX_S
from tests.virtual_time import in_virtual_time, time_passes
from tests.voice.call import Listener, speaks, voice_call

AT_ONCE_MS = LEAD_MS + FRAME_MS
"""What a caller is given in the moment it comes."""


@dataclass
class Playing:
    """A player, the ear it plays to and what it reported."""

    player: Player
    listener: Listener
    reported: list[PlaybackStarted | PlaybackStopped] = field(
        default_factory=list[PlaybackStarted | PlaybackStopped]
    )

    @property
    def played_ms(self) -> int:
        return self.listener.played_bytes // FRAME_BYTES * FRAME_MS

    def give(self, response_id: str, *, ms: int) -> None:
        self.player.give(response_id, bytes(FRAME_BYTES) * (ms // FRAME_MS))
        self.player.go_on()

    def finish(self, response_id: str) -> None:
        self.player.finish(response_id)
        self.player.go_on()


class SlowListener(Listener):
    """Takes a frame when it is told to, and gives up on one after so long."""

    def __init__(self, patience_s: float | None = None) -> None:
        super().__init__()
        self.takes = asyncio.Event()
        self.given_up = 0
        self._patience_s = patience_s

    async def play(self, pcm: bytes) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await self.takes.wait()
        except TimeoutError:
            self.given_up += 1
        else:
            await super().play(pcm)


@asynccontextmanager
async def playing(listener: Listener | None = None) -> AsyncGenerator[Playing]:
    listener = listener or Listener()
    async with asyncio.TaskGroup() as group:
        running: list[asyncio.Task[None]] = []

        def spawn(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
            running.append(group.create_task(work, name=name))
            return running[-1]

        stage = Playing(Player(listener, lambda event: stage.reported.append(event), spawn), listener)
        yield stage
        for task in running:
            task.cancel()


@in_virtual_time
async def test_what_may_be_heard_now_is_played_in_the_moment_it_comes() -> None:
    async with playing() as stage:
        await time_passes(1)
        stage.give("r", ms=FRAME_MS)
        assert stage.played_ms == FRAME_MS
        stage.give("r", ms=1_000)
        assert stage.played_ms == AT_ONCE_MS


@in_virtual_time
async def test_a_slow_caller_holds_up_nobody_who_brings_audio_and_misses_nothing() -> None:
    slow = SlowListener()
    async with playing(slow) as stage:
        await time_passes(1)
        for _ in range(10):
            stage.give("r", ms=FRAME_MS)
        stage.finish("r")
        await time_passes(1)
        assert (stage.played_ms, stage.reported) == (0, [PlaybackStarted("r")])
        slow.takes.set()
        await time_passes(1)
        assert stage.played_ms == 200
        assert stage.reported[-1] == PlaybackStopped("r", cleared=False)


@in_virtual_time
async def test_a_callers_timeout_ends_its_own_wait_and_not_who_brought_the_audio() -> None:
    slow = SlowListener(patience_s=0.1)
    async with playing(slow) as stage:
        await time_passes(1)
        stage.give("r", ms=2 * FRAME_MS)
        await time_passes(1)
        assert slow.given_up == 2
        slow.takes.set()
        stage.give("r", ms=FRAME_MS)
        assert stage.played_ms == FRAME_MS


@in_virtual_time
async def test_the_longest_utterance_is_played_to_its_end_even_if_it_arrives_at_once() -> None:
    longest_ms = int(PLAY_MAX_S * 1000)
    async with playing() as stage:
        stage.give("r", ms=longest_ms)
        stage.finish("r")
        await time_passes(PLAY_MAX_S + 1)
        assert stage.played_ms == longest_ms
        assert stage.reported == [PlaybackStarted("r"), PlaybackStopped("r", cleared=False)]


@in_virtual_time
async def test_what_exceeds_the_bound_ends_the_response_as_cut() -> None:
    async with playing() as stage:
        stage.give("r", ms=BUFFER_MAX_MS + 1_000)
        stage.give("r", ms=1_000)
        stage.finish("r")
        stage.give("next", ms=0)
        stage.finish("next")
        await time_passes(BUFFER_MAX_MS / 1000 + 1)
        assert stage.played_ms == BUFFER_MAX_MS
        assert stage.reported == [
            PlaybackStarted("r"),
            PlaybackStopped("r", cleared=True),
            PlaybackStarted("next"),
            PlaybackStopped("next", cleared=False),
        ]


@in_virtual_time
async def test_what_was_played_makes_room_for_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player_module, "BUFFER_MAX_MS", 2_000)
    async with playing() as stage:
        for _ in range(10):
            stage.give("r", ms=1_000)
            await time_passes(1)
        stage.finish("r")
        await time_passes(1)
        assert stage.played_ms == 10_000
        assert stage.reported[-1] == PlaybackStopped("r", cleared=False)


@in_virtual_time
async def test_responses_that_wait_share_one_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player_module, "BUFFER_MAX_MS", 2_000)
    async with playing() as stage:
        stage.give("r", ms=1_500)
        stage.finish("r")
        stage.give("q", ms=1_500)
        assert stage.played_ms == AT_ONCE_MS  # and waits no longer
        await time_passes(3)
        assert stage.played_ms == 2_000 + AT_ONCE_MS
        assert [event.cleared for event in stage.reported if isinstance(event, PlaybackStopped)] == [
            False,
            True,
        ]


@in_virtual_time
async def test_the_journal_never_claims_that_what_did_not_fit_was_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(player_module, "BUFFER_MAX_MS", 1_000)
    async with voice_call(answer=speaks(audio_ms=3_000)) as call:
        said = call.session.say("one two three four five six", None)
        await time_passes(2)
        assert said.state is UtteranceState.INTERRUPTED
        (cut,) = await call.of_kind(records.UtteranceInterrupted)
        assert 1_000 <= cut.heard_ms <= 1_000 + AT_ONCE_MS
        assert await call.of_kind(records.UtterancePlayed) == []
