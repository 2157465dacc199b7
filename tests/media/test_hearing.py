"""Packets to PCM: whatever is lost, what is heard is as long as what was said, and has no needless hole."""

from __future__ import annotations

from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfield_adapters.media.libopus import Encoder
from agentfield_adapters.media.webrtc.arrival import ArrivalBuffer, AudioPacket
from agentfield_adapters.media.webrtc.hearing import SILENCE_MS_MAX, Hearing
from agentfield_adapters.media.webrtc.telephone_event import DIGITS, DigitReader
from agentfield_rt.frames import FRAME_BYTES, SAMPLE_RATE_HZ
from tests.media.web_caller import vowel
from tests.virtual_time import in_virtual_time, time_passes

NO_OPUS = b"\xff\x80"  # no frame at all, which the format does not allow (RFC 6716, section 3.2.5, R5)
START = 0xFFFF_FFFF - 960 * 3  # the timestamps of a call begin anywhere, and wrap


@cache
def encoded(frames: int) -> list[bytes]:
    """A voice that goes on, each packet with a copy of the one before."""
    encoder = Encoder(rate_hz=SAMPLE_RATE_HZ)
    encoder.expect_loss(20)
    return [encoder.encoded(pcm) for pcm in vowel(frames)]


def packets(frames: int) -> list[AudioPacket]:
    return [
        AudioPacket(111, number, (START + number * 960) & 0xFFFF_FFFF, payload)
        for number, payload in enumerate(encoded(frames))
    ]


class Call:
    """One caller's packets, and what is heard of them."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.digits = ""
        self.hearing = Hearing(self.pieces.append, self._press, rate_hz=SAMPLE_RATE_HZ)
        self.hearing.expect_events({101})

    def _press(self, digit: str) -> None:
        self.digits += digit

    def loudness(self) -> list[float]:
        pcm = np.frombuffer(b"".join(self.pieces), dtype="<i2").astype(float)
        frames = pcm[: len(pcm) // 480 * 480].reshape(-1, 480)
        return [float(np.abs(frame).max()) for frame in frames]


@in_virtual_time
async def test_what_was_sent_is_heard_frame_by_frame() -> None:
    call = Call()
    for packet in packets(50):
        call.hearing.take(packet)
    assert [len(piece) for piece in call.pieces] == [FRAME_BYTES] * 50
    call.hearing.close()


@settings(max_examples=60)
@given(st.sets(st.integers(1, 98), max_size=40), st.dictionaries(st.integers(1, 98), st.binary(max_size=4)))
def test_whatever_is_lost_or_broken_as_much_is_heard_as_was_said(
    lost: set[int], broken: dict[int, bytes]
) -> None:
    @in_virtual_time
    async def hear() -> None:
        call = Call()
        buffer = ArrivalBuffer(call.hearing.take)
        for number, packet in enumerate(packets(102)):
            if number not in lost:
                noise = NO_OPUS + broken[number] if number in broken else packet.payload
                buffer.add(packet._replace(payload=noise))
        call.hearing.close()
        assert len(b"".join(call.pieces)) == 102 * FRAME_BYTES
        assert {len(piece) for piece in call.pieces} == {FRAME_BYTES}

    hear()


@in_virtual_time
async def test_a_short_loss_is_not_heard_as_a_hole() -> None:
    call = Call()
    for number, packet in enumerate(packets(60)):
        if number not in (20, 40, 41, 42):
            call.hearing.take(packet)
    call.hearing.close()
    assert min(call.loudness()[5:]) > 1_500


@in_virtual_time
async def test_a_long_loss_ends_in_silence_rather_than_in_a_drone() -> None:
    call = Call()
    sent = packets(60)
    for packet in (*sent[:10], *sent[50:]):
        call.hearing.take(packet)
    call.hearing.close()
    assert len(call.pieces) == 60
    assert call.loudness()[20:48] == [0.0] * 28


@in_virtual_time
async def test_a_caller_whose_packets_stop_falls_silent_in_real_time_and_not_for_ever() -> None:
    call = Call()
    sent = packets(80)
    for packet in sent[:10]:
        call.hearing.take(packet)
    await time_passes(1.0)
    assert 0.6 <= (len(call.pieces) - 10) / 50 <= 1.0
    for packet in sent[60:]:  # a second was lost, and most of it has been filled already
        call.hearing.take(packet)
    assert len(call.pieces) == 80
    await time_passes(60)
    assert len(call.pieces) == 80 + SILENCE_MS_MAX // 20
    call.hearing.close()


@in_virtual_time
async def test_a_stream_that_begins_anew_is_heard_from_there() -> None:
    call = Call()
    sent = packets(20)
    for packet in sent[:10]:
        call.hearing.take(packet)
    for packet in sent[10:]:
        call.hearing.take(packet._replace(timestamp=(packet.timestamp + 123_456_789) & 0xFFFF_FFFF))
    call.hearing.close()
    assert len(call.pieces) == 20


def event(digit: int, *, end: bool) -> bytes:
    return bytes([digit, 0x80 * end | 10, 3, 32])


@given(st.lists(st.tuples(st.sampled_from(DIGITS), st.integers(0, 3), st.booleans()), max_size=20))
def test_each_key_is_one_digit_however_often_and_whether_its_end_is_heard(
    pressed: list[tuple[str, int, bool]],
) -> None:
    reader, heard = DigitReader(), ""
    for number, (digit, ends, speaks) in enumerate(pressed):
        for _ in range(4):
            heard += reader.event(number, event(DIGITS.index(digit), end=False))
        for _ in range(ends):
            heard += reader.event(number, event(DIGITS.index(digit), end=True))
        for _ in range(20 * speaks):
            heard += reader.audio()
    for _ in range(20):
        heard += reader.audio()
    assert heard == "".join(digit for digit, _, _ in pressed)


@given(st.integers(0, 2**32 - 1), st.binary(max_size=8))
def test_events_that_are_no_keys_are_none(timestamp: int, payload: bytes) -> None:
    heard = DigitReader().event(timestamp, payload)
    is_key = len(payload) >= 4 and payload[0] < len(DIGITS) and payload[1] & 0x80
    assert heard == (DIGITS[payload[0]] if is_key else "")
