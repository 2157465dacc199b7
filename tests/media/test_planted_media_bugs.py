"""The tests of callers' media bite: each planted bug, one slip of the hand, turns the test of it red."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import re

import pytest

from agentfield_adapters.media.webrtc import hearing as hearing_module
from agentfield_adapters.media.webrtc.arrival import ArrivalBuffer, AudioPacket
from agentfield_adapters.media.webrtc.caller import WebRtcCaller
from agentfield_adapters.media.webrtc.hearing import Hearing
from agentfield_adapters.media.webrtc.telephone_event import DigitReader
from agentfield_rt.plane.calls import webrtc as webrtc_calls
from agentfield_rt.sdp import BadOffer, candidates, reading
from agentfield_rt.testing import NothingCanHappen
from tests.media import test_arrival, test_caller, test_carrying, test_hearing, test_offers
from tests.planting import Bug, Bugs

PLANTED = Bugs()
planted = PLANTED.planted


@planted(
    "names of the local network are looked up",
    seen_by=test_offers.test_only_addresses_that_may_be_a_caller_s_are_sent_to,
)
def mdns_allowed(patch: pytest.MonkeyPatch) -> None:
    def usable(text: str, *, private: bool) -> str:
        return text

    patch.setattr(candidates, "_usable", usable)


@planted(
    "an IPv4 address hides in an IPv6 one",
    seen_by=test_offers.test_only_addresses_that_may_be_a_caller_s_are_sent_to,
)
def mapped_allowed(patch: pytest.MonkeyPatch) -> None:
    def hides_nothing(address: object) -> bool:
        return False

    patch.setattr(candidates, "_hides_another", hides_nothing)


@planted(
    "ICE credentials may hold anything",
    seen_by=test_offers.test_offers_broken_at_random_are_taken_clean_or_refused,
)
def any_credentials(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reading, "_UFRAG", re.compile(".*"))


@planted(
    "a stream's name is passed through",
    seen_by=lambda: test_offers.test_what_we_have_no_use_for_is_gone("a=msid:SECRET"),
)
def any_stream(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reading, "_STREAM", re.compile(".*SECRET.*"))


@planted(
    "a lost packet is waited for without end",
    seen_by=test_arrival.test_a_late_packet_is_waited_for_and_a_lost_one_given_up,
)
def endless_patience(patch: pytest.MonkeyPatch) -> None:
    original = ArrivalBuffer._hand_on

    def hand_on(self: ArrivalBuffer) -> None:
        self.patience_packets = 10**6
        original(self)

    patch.setattr(ArrivalBuffer, "_hand_on", hand_on)


@planted(
    "a late packet is handed on all the same",
    seen_by=test_arrival.test_whatever_arrives_nothing_is_handed_on_twice_or_out_of_order,
)
def late_handed_on(patch: pytest.MonkeyPatch) -> None:
    original = ArrivalBuffer.add

    def add(self: ArrivalBuffer, packet: AudioPacket) -> None:
        original(self, packet)
        if self._next is not None and (packet.sequence_number - self._next) & 0xFFFF >= 0x8000:
            self._on_packet(packet)

    patch.setattr(ArrivalBuffer, "add", add)


@planted(
    "what was lost is not made up for",
    seen_by=test_hearing.test_whatever_is_lost_or_broken_as_much_is_heard_as_was_said,
)
def holes(patch: pytest.MonkeyPatch) -> None:
    def make_up_for(self: Hearing, ticks: int, payload: bytes) -> None:
        return

    patch.setattr(Hearing, "_make_up_for", make_up_for)


@planted("what was lost is silence", seen_by=test_hearing.test_a_short_loss_is_not_heard_as_a_hole)
def silent_loss(patch: pytest.MonkeyPatch) -> None:
    def make_up_for(self: Hearing, ticks: int, payload: bytes) -> None:
        self._on_pcm(bytes(ticks // 2 * 2))

    patch.setattr(Hearing, "_make_up_for", make_up_for)


@planted(
    "a caller who is gone is silent for ever",
    seen_by=test_hearing.test_a_caller_whose_packets_stop_falls_silent_in_real_time_and_not_for_ever,
)
def endless_silence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hearing_module, "SILENCE_MS_MAX", 10**9)


@planted(
    "silence that stood in is counted as lost once more",
    seen_by=test_hearing.test_a_caller_whose_packets_stop_falls_silent_in_real_time_and_not_for_ever,
)
def silence_twice(patch: pytest.MonkeyPatch) -> None:
    original = Hearing._mind_silence

    def mind(self: Hearing) -> None:
        expected = self._expected
        original(self)
        self._expected = expected

    patch.setattr(Hearing, "_mind_silence", mind)


@planted(
    "a key is a digit with each packet of its end",
    seen_by=test_hearing.test_each_key_is_one_digit_however_often_and_whether_its_end_is_heard,
)
def digit_repeated(patch: pytest.MonkeyPatch) -> None:
    original = DigitReader.event

    def event(self: DigitReader, timestamp: int, payload: bytes) -> str:
        heard = original(self, timestamp, payload)
        self._timestamp = None
        return heard

    patch.setattr(DigitReader, "event", event)


@planted(
    "an interruption leaves what was queued", seen_by=test_caller.test_clearing_drops_all_that_was_not_sent
)
def clear_forgotten(patch: pytest.MonkeyPatch) -> None:
    async def clear(self: WebRtcCaller) -> None:
        return

    patch.setattr(WebRtcCaller, "clear", clear)


@planted("what waits to be sent has no end", seen_by=test_caller.test_no_more_than_a_second_waits)
def unbounded(patch: pytest.MonkeyPatch) -> None:
    original = WebRtcCaller.play

    async def play(self: WebRtcCaller, pcm: bytes) -> None:
        self._waiting = type(self._waiting)(self._waiting)
        await original(self, pcm)

    patch.setattr(WebRtcCaller, "play", play)


@planted(
    "a connection stays when its session cannot be had",
    seen_by=test_carrying.test_a_connection_whose_session_cannot_be_had_is_closed,
)
def left_open(patch: pytest.MonkeyPatch) -> None:
    async def close(self: test_carrying.HeldMedia) -> None:
        return

    patch.setattr(test_carrying.HeldMedia, "close", close)


@planted(
    "the newest of what a caller said is heard first",
    seen_by=lambda: test_carrying.play([("speaks", 3), ("waits", 1)]),
)
def newest_first(patch: pytest.MonkeyPatch) -> None:
    def heard(self: webrtc_calls._Call, pcm: bytes) -> None:
        self._heard.appendleft(pcm)
        self._changed.set()

    patch.setattr(webrtc_calls._Call, "_hear", heard)


@planted(
    "a caller's hanging up ends nothing",
    seen_by=lambda: test_carrying.play([("speaks", 1), ("hangs up", 1)]),
)
def deaf_to_the_end(patch: pytest.MonkeyPatch) -> None:
    def end(self: webrtc_calls._Call) -> None:
        if self._session.is_over:
            self._is_over = True
            self._changed.set()

    patch.setattr(webrtc_calls._Call, "_end", end)


@planted(
    "what a busy session has not taken has no bound",
    seen_by=test_carrying.test_a_session_that_takes_nothing_costs_five_seconds_of_memory_and_the_oldest_goes,
)
def heard_unbounded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(webrtc_calls, "WAITING_MS_MAX", 10**9)


@pytest.mark.parametrize("bug", PLANTED, ids=str)
def test_a_planted_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.must_be_noticed(monkeypatch, AssertionError, BadOffer, NothingCanHappen)
