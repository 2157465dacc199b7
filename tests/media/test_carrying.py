"""A caller over WebRTC and their session live and end together, however their acts and faults overlap."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentfield_rt.caller_media import CallerEvents, CallerMediaFactory, IceSettings
from agentfield_rt.config import Settings
from agentfield_rt.core.records import InputSendUnknown
from agentfield_rt.errors import CloseReason, IllegalCommand, ProviderError, RealtimeError, Reason
from agentfield_rt.frames import FRAME_BYTES, AudioFrame
from agentfield_rt.plane.calls import webrtc as webrtc_calls
from agentfield_rt.plane.calls.webrtc import OFFERS_MAX, WAITING_MS_MAX, WebRtcCalls
from agentfield_rt.plane.errors import Conflict
from agentfield_rt.sdp import BadOffer, Offer
from tests.media.offers import CHROMIUM, CHROMIUM_WITH_CHANNEL
from tests.virtual_time import in_virtual_time, time_passes
from tests.voice.call import VoiceCall, voice_call

ACTS = ("speaks", "presses", "hangs up", "offers again", "is closed", "loses its provider", "waits")


class HeldMedia:
    """A caller's connection (`CallerMedia`) that does what a test says."""

    def __init__(self, events: CallerEvents, *, refuses: bool) -> None:
        self.events = events
        self.closed = 0
        self._refuses = refuses

    async def answer(self, offer: Offer) -> str:
        await time_passes(0.01)
        if self._refuses:
            raise BadOffer("the test says so")
        return "v=0\r\n"

    async def play(self, pcm: bytes) -> None:
        return

    async def clear(self) -> None:
        return

    async def close(self) -> None:
        self.closed += 1


@dataclass
class Stage:
    """One session that may be called over WebRTC, and every connection that was made for it."""

    call: VoiceCall
    calls: WebRtcCalls
    made: list[HeldMedia] = field(default_factory=list[HeldMedia])
    spoken: int = 0
    refuses: bool = False

    def media(self, events: CallerEvents, ice: IceSettings) -> HeldMedia:
        self.made.append(HeldMedia(events, refuses=self.refuses))
        return self.made[-1]

    async def offer(self, sdp: bytes = CHROMIUM) -> str:
        return await self.calls.answer(self.call.session, sdp)

    def speaks(self, frames: int = 1) -> None:
        """The caller says frames, each of which says its number."""
        for _ in range(frames):
            self.spoken += 1
            self.made[0].events.heard(self.spoken.to_bytes(2) * (FRAME_BYTES // 2))

    def heard(self) -> list[int]:
        """The numbers of the frames that the provider got."""
        sent = [frame.pcm for frame in self.call.adapter.sent if isinstance(frame, AudioFrame)]
        assert {len(pcm) for pcm in sent} <= {FRAME_BYTES}
        return [int.from_bytes(pcm[:2]) for pcm in sent]

    async def ends(self) -> None:
        """Everything is over, and was let go."""
        await self.call.session.close()
        await self.calls.close()
        assert all(media.closed for media in self.made), "a caller's connection was left open"


@asynccontextmanager
async def on_stage() -> AsyncGenerator[Stage]:
    """A session, and in place of WebRTC what the test holds; afterwards nothing may be left."""
    async with voice_call(connect=False) as call:
        stage = Stage(call, WebRtcCalls(Settings()))

        def media() -> CallerMediaFactory:
            return stage.media

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(webrtc_calls, "webrtc_media", media)
            yield stage
            await stage.ends()


@in_virtual_time
async def play(acts: list[tuple[str, int]]) -> None:
    async with on_stage() as stage:
        await perform(stage, acts)


@example([("speaks", 1), ("offers again", 1), ("speaks", 1), ("loses its provider", 1)])
@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(ACTS), st.integers(1, 3)), max_size=12))
def test_whatever_happens_both_end_and_what_was_said_arrives_in_order(acts: list[tuple[str, int]]) -> None:
    play(acts)


async def perform(stage: Stage, acts: list[tuple[str, int]]) -> None:
    """Have one caller, and then whatever comes."""
    assert await stage.offer() == "v=0\r\n"
    session = stage.call.session
    is_gone = False
    for act, times in acts:
        match act:
            case "speaks":
                stage.speaks(times)
            case "presses":
                stage.made[0].events.digit("#")
            case "hangs up":
                stage.made[0].events.gone()
                is_gone = True
            case "offers again":
                with pytest.raises(RealtimeError):
                    await stage.offer()
            case "is closed":
                await session.close(CloseReason.NORMAL)
            case "loses its provider":
                stage.call.adapter.drop()
            case _:
                await time_passes(times / 4)
    if is_gone:
        await session.ended()
    heard = stage.heard()
    assert heard == sorted(set(heard)), "frames were repeated or changed places"
    await time_passes(60)
    if not is_gone and not session.is_over:
        in_doubt = await stage.call.of_kind(InputSendUnknown)
        missing = set(range(1, stage.spoken + 1)) - set(stage.heard())
        # A frame that is on the wire when its connection breaks is not repeated: the caller has gone on.
        assert len(missing) <= len(in_doubt), "frames were lost of which the journal knows nothing"


@in_virtual_time
async def test_a_connection_whose_session_cannot_be_had_is_closed() -> None:
    async with on_stage() as stage:
        hold = stage.call.adapter.hold("connect")
        hold.fail(ProviderError("busy", reason=Reason.UNAVAILABLE))
        with pytest.raises(ProviderError):
            await stage.offer()
        assert [media.closed for media in stage.made] == [1]
        assert await stage.offer() == "v=0\r\n"


@in_virtual_time
async def test_whoever_gives_up_while_the_provider_is_called_leaves_no_connection() -> None:
    async with on_stage() as stage:
        hold = stage.call.adapter.hold("connect")
        asking = asyncio.create_task(stage.offer())
        await hold.wait_reached()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert [media.closed for media in stage.made] == [1]


@in_virtual_time
async def test_of_two_offers_at_once_one_is_taken_and_the_other_s_connection_closed() -> None:
    async with on_stage() as stage:
        answers = await asyncio.gather(stage.offer(), stage.offer(), return_exceptions=True)
        assert sorted(isinstance(answer, str) for answer in answers) == [False, True]
        assert any(isinstance(answer, IllegalCommand) for answer in answers)
        assert sorted(media.closed for media in stage.made) == [0, 1]


@in_virtual_time
async def test_a_session_is_not_offered_calls_for_ever() -> None:
    async with on_stage() as stage:
        for _ in range(10):
            with pytest.raises(BadOffer, match="without a data channel"):
                await stage.offer(CHROMIUM_WITH_CHANNEL)
        assert stage.made == []
        stage.refuses = True
        for _ in range(OFFERS_MAX):
            with pytest.raises(BadOffer, match="the test says so"):
                await stage.offer()
        with pytest.raises(Conflict, match="start a new session"):
            await stage.offer()
        assert len(stage.made) == OFFERS_MAX


@in_virtual_time
async def test_a_session_that_takes_nothing_costs_five_seconds_of_memory_and_the_oldest_goes() -> None:
    async with on_stage() as stage:
        await stage.offer()
        hold = stage.call.adapter.hold("send")
        stage.speaks(1)
        await hold.wait_reached()
        most = WAITING_MS_MAX // 20
        stage.speaks(most + 100)
        hold.release()
        await time_passes(10)
        assert stage.heard() == [1, *range(102, most + 102)]
