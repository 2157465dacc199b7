"""The player alone: what waits is bounded, what was played is let go, and what did not fit counts as cut."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from agentfield_rt.core import records
from agentfield_rt.frames import FRAME_BYTES, FRAME_MS, PlaybackStarted, PlaybackStopped
from agentfield_rt.voice import player as player_module
from agentfield_rt.voice.link import UtteranceState
from agentfield_rt.voice.player import BUFFER_MAX_MS, Player
from agentfield_rt.voice.utterances import PLAY_MAX_S
from tests.virtual_time import in_virtual_time, time_passes
from tests.voice.call import Listener, speaks, voice_call


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


@asynccontextmanager
async def playing() -> AsyncGenerator[Playing]:
    listener = Listener()
    stage = Playing(Player(listener, lambda event: stage.reported.append(event)), listener)
    running = asyncio.create_task(stage.player.run())
    yield stage
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@in_virtual_time
async def test_the_longest_utterance_is_played_to_its_end_even_if_it_arrives_at_once() -> None:
    longest_ms = int(PLAY_MAX_S * 1000)
    async with playing() as stage:
        stage.give("r", ms=longest_ms)
        stage.player.finish("r")
        await time_passes(PLAY_MAX_S + 1)
        assert stage.played_ms == longest_ms
        assert stage.reported == [PlaybackStarted("r"), PlaybackStopped("r", cleared=False)]


@in_virtual_time
async def test_what_exceeds_the_bound_ends_the_response_as_cut() -> None:
    async with playing() as stage:
        stage.give("r", ms=BUFFER_MAX_MS + 1_000)
        stage.give("r", ms=1_000)
        stage.player.finish("r")
        stage.give("next", ms=0)
        stage.player.finish("next")
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
        stage.player.finish("r")
        await time_passes(1)
        assert stage.played_ms == 10_000
        assert stage.reported[-1] == PlaybackStopped("r", cleared=False)


@in_virtual_time
async def test_responses_that_wait_share_one_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player_module, "BUFFER_MAX_MS", 2_000)
    async with playing() as stage:
        stage.give("r", ms=1_500)
        stage.player.finish("r")
        stage.give("q", ms=1_500)
        await time_passes(3)
        assert stage.played_ms == 2_000
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
        assert 900 <= cut.heard_ms <= 1_100
        assert await call.of_kind(records.UtterancePlayed) == []
