"""The tests of what packets go through bite: each of these slips of the hand turns one of them red."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from agentfield_adapters.media.libopus import Decoder
from agentfield_adapters.media.webrtc import pacing, receiving, sending
from agentfield_adapters.media.webrtc.pacing import Paced, Pacer
from agentfield_adapters.media.webrtc.receiving import PacketReader
from agentfield_adapters.media.webrtc.sending import OpusStream
from tests.media import test_libopus, test_pacing, test_receiving, test_sending
from tests.planting import Bug, Bugs, Plant

PLANTED = Bugs()
planted = PLANTED.planted


def sends(change: Callable[[OpusStream, int], int]) -> Plant:
    """A stream that is told of other stalls than there were."""
    original = OpusStream.send_next

    async def send_next(self: OpusStream, skipped_frames: int) -> None:
        await original(self, change(self, skipped_frames))

    return lambda patch: patch.setattr(OpusStream, "send_next", send_next)


@planted(
    "after a stall all that was missed is sent at once",
    seen_by=test_pacing.test_after_a_stall_time_is_made_up_for_or_reported_as_skipped,
)
def rushes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pacing, "STALL_S_MAX", 1e6)


@planted(
    "after a stall the clock is moved and nobody told",
    seen_by=test_pacing.test_after_a_stall_time_is_made_up_for_or_reported_as_skipped,
)
def silently_late(patch: pytest.MonkeyPatch) -> None:
    original = Pacer._ask

    async def ask(self: Pacer, member: Paced, skipped_frames: int) -> None:
        await original(self, member, 0)

    patch.setattr(Pacer, "_ask", ask)


@planted(
    "one call's fault silences all",
    seen_by=test_pacing.test_a_call_that_fails_is_asked_no_more_and_the_others_do_not_notice,
)
def all_fall_silent(patch: pytest.MonkeyPatch) -> None:
    async def ask(self: Pacer, member: Paced, skipped_frames: int) -> None:
        try:
            await member.send_next(skipped_frames)
        except RuntimeError:
            for members in self._phases:
                members.clear()

    patch.setattr(Pacer, "_ask", ask)


@planted("everybody sends in the same moment", seen_by=test_pacing.test_calls_take_turns_within_the_20_ms)
def in_one_phase(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Pacer, "join", _join_first)


def _join_first(self: Pacer, member: Paced) -> None:
    self._phases[0].append(member)
    self._task = self._task or asyncio.create_task(self._run())


@planted("RTP time stands still in a stall", seen_by=test_sending.test_a_stall_is_a_gap_in_time_but_no_loss)
def time_stands_still(patch: pytest.MonkeyPatch) -> None:
    sends(lambda stream, skipped: 0)(patch)


@planted("a stall looks like loss", seen_by=test_sending.test_a_stall_is_a_gap_in_time_but_no_loss)
def looks_like_loss(patch: pytest.MonkeyPatch) -> None:
    def lose(stream: OpusStream, skipped: int) -> int:
        stream._sequence += skipped
        return skipped

    sends(lose)(patch)


@planted(
    "copies are carried for ever once a packet got lost",
    seen_by=test_sending.test_packets_carry_copies_while_the_other_side_reports_loss_and_a_minute_longer,
)
def never_calm(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sending, "CALM_LOOKS", 10**6)


@planted(
    "copies are given up at the first report without loss",
    seen_by=test_sending.test_packets_carry_copies_while_the_other_side_reports_loss_and_a_minute_longer,
)
def calm_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sending, "CALM_LOOKS", 1)


@planted("a packet's padding is sound", seen_by=test_receiving.test_a_packet_is_read_as_aiortc_reads_it)
def padding_is_sound(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(receiving, "_HAS_PADDING", 0)


@planted("a header extension is sound", seen_by=test_receiving.test_a_packet_is_read_as_aiortc_reads_it)
def extension_is_sound(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(receiving, "_HAS_EXTENSION", 0)


@planted(
    "every stream that a caller makes up is reported on",
    seen_by=test_receiving.test_a_caller_cannot_make_us_report_on_streams_without_end,
)
def streams_without_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(receiving, "SOURCES_MAX", 10**6)


@planted(
    "aiortc is left with what is too short to be looked at", seen_by=test_receiving.test_no_datagram_raises
)
def looks_first(patch: pytest.MonkeyPatch) -> None:
    def take(self: PacketReader, data: bytes, component: int) -> None:
        self._others(data[data[0] :], component)

    patch.setattr(PacketReader, "take", take)


@planted(
    "a lost packet is guessed where its copy has come",
    seen_by=test_libopus.test_a_packet_carries_a_copy_of_the_one_before_where_loss_is_expected,
)
def copies_unused(patch: pytest.MonkeyPatch) -> None:
    def recovered(self: Decoder, packet: bytes, lost_ms: int) -> bytes:
        return self.concealed(lost_ms)

    patch.setattr(Decoder, "recovered", recovered)


@pytest.mark.parametrize("bug", PLANTED, ids=str)
def test_a_planted_bug_is_seen(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.must_be_noticed(monkeypatch, AssertionError, IndexError)
