"""A caller whose side says what it has played is believed, and not the clock."""

import asyncio

from agentfield_rt.frames import FRAME_BYTES, FRAME_MS, PlaybackStarted, PlaybackStopped
from agentfield_rt.voice.player import CONFIRM_MAX_S, LEAD_MS
from tests.virtual_time import in_virtual_time, time_passes
from tests.voice.call import Listener
from tests.voice.test_player import playing


class FarListener(Listener):
    """An ear that hears what it is told to have heard, and says so."""

    def __init__(self) -> None:
        super().__init__()
        self._heard_ms = 0
        self._has_heard = asyncio.Condition()

    @property
    def played_ms(self) -> int:
        return self.played_bytes // FRAME_BYTES * FRAME_MS

    @property
    def heard_ms(self) -> int:
        return self._heard_ms

    async def hears(self, until_ms: int) -> None:
        async with self._has_heard:
            self._heard_ms = until_ms
            self._has_heard.notify_all()

    async def confirmed(self) -> None:
        async with self._has_heard:
            await self._has_heard.wait_for(lambda: self._heard_ms >= self.played_ms)

    async def clear(self) -> None:
        await super().clear()
        await self.hears(self.played_ms)


@in_virtual_time
async def test_a_response_is_over_when_the_far_side_says_so() -> None:
    listener = FarListener()
    async with playing(listener) as stage:
        stage.give("resp_1", ms=200)
        stage.finish("resp_1")
        await time_passes(1.5)
        assert stage.reported == [PlaybackStarted("resp_1")]
        await listener.hears(200)
        await time_passes(0.01)
        assert stage.reported[1:] == [PlaybackStopped("resp_1", cleared=False)]


@in_virtual_time
async def test_a_far_side_that_never_says_so_is_waited_for_no_longer_than_agreed() -> None:
    async with playing(FarListener()) as stage:
        stage.give("resp_1", ms=200)
        stage.finish("resp_1")
        await time_passes(0.2 + CONFIRM_MAX_S - 0.05)
        assert len(stage.reported) == 1
        await time_passes(0.1)
        assert stage.reported[1:] == [PlaybackStopped("resp_1", cleared=False)]


@in_virtual_time
async def test_what_was_heard_at_a_cut_is_what_the_far_side_confirmed() -> None:
    listener = FarListener()
    async with playing(listener) as stage:
        stage.give("resp_1", ms=1_000)
        await time_passes(0.5)
        assert listener.played_ms >= 500
        assert stage.player.heard_ms("resp_1") == 0
        await listener.hears(300)
        assert stage.player.heard_ms("resp_1") == 300
        await listener.hears(10_000)  # a far side that says too much
        assert stage.player.heard_ms("resp_1") == listener.played_ms


@in_virtual_time
async def test_what_was_heard_of_the_next_response_counts_from_its_own_beginning() -> None:
    listener = FarListener()
    async with playing(listener) as stage:
        stage.give("resp_1", ms=400)
        await time_passes(0.1)
        stage.player.refuse("resp_1")
        await stage.player.clear()
        dropped_ms = listener.played_ms
        stage.give("resp_2", ms=400)
        await time_passes(0.4)
        assert stage.player.heard_ms("resp_2") == 0
        await listener.hears(dropped_ms + 160)
        assert stage.player.heard_ms("resp_2") == 160
        assert listener.played_ms <= dropped_ms + 400 + LEAD_MS
