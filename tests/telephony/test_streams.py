"""A media stream message by message: what is taken, what is refused, and that nothing else can happen."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfield_adapters.media.g711 import A_LAW, MU_LAW
from agentfield_adapters.media.telephony.audio import InOrder
from agentfield_adapters.media.telephony.stream import MESSAGE_CHARS_MAX, MediaStream
from agentfield_adapters.media.telephony.telnyx import TelnyxDialect
from agentfield_adapters.media.telephony.twilio import TwilioDialect
from agentfield_rt.core.records import CallerFault
from agentfield_rt.frames import FRAME_BYTES
from agentfield_rt.telephony import (
    BadMessage,
    CallAudio,
    CallDigit,
    CallEvent,
    CallStarted,
    CallStopped,
    MarkReached,
)
from tests.telephony.vendors import CALLED, CALLER, VENDORS, TelnyxVendor, TwilioVendor, Vendor

MakeVendor = Callable[[], Vendor]
each_vendor = pytest.mark.parametrize("make_vendor", VENDORS, ids=lambda vendor: vendor.name)


def stream_of(vendor: Vendor) -> MediaStream:
    return MediaStream(TwilioDialect() if vendor.name == "twilio" else TelnyxDialect())


def begun(vendor: Vendor) -> MediaStream:
    """A stream in which the call has begun."""
    stream = stream_of(vendor)
    stream.take(vendor.connected())
    stream.take(vendor.start({}))
    return stream


def digits(events: Sequence[CallEvent]) -> str:
    return "".join(event.digit for event in events if isinstance(event, CallDigit))


def refused(stream: MediaStream, message: str) -> CallerFault:
    with pytest.raises(BadMessage) as caught:
        stream.take(message)
    return caught.value.fault


@each_vendor
def test_a_call_from_its_first_message_to_its_last(make_vendor: MakeVendor) -> None:
    vendor = make_vendor()
    stream = stream_of(vendor)
    assert stream.take(vendor.connected()) == ()
    (started,) = stream.take(vendor.start({"order": "4"}))
    assert isinstance(started, CallStarted)
    assert started.parameters == {"order": "4"}
    assert (started.caller, started.called) == ((CALLER, CALLED) if vendor.name == "telnyx" else (None, None))
    heard = [event for _ in range(10) for event in stream.take(vendor.media())]
    assert len(heard) in (9, 10)  # the resampler holds back two milliseconds
    assert all(isinstance(event, CallAudio) and len(event.pcm) == FRAME_BYTES for event in heard)
    assert digits(stream.take(vendor.dtmf("#"))) == "#"
    assert stream.take(vendor.mark("mark_1")) == (MarkReached("mark_1"),)
    assert stream.take(vendor.media(track="outbound")) == ()
    assert stream.take(vendor.stop()) == (CallStopped(),)


def loudness(pcm: bytes) -> float:
    return float(np.sqrt(np.mean(np.frombuffer(pcm, "<i2").astype(float) ** 2)))


@each_vendor
@pytest.mark.parametrize("hz", [300, 1_000, 3_000])
def test_a_tone_sounds_the_same_on_both_ways(make_vendor: MakeVendor, hz: int) -> None:
    vendor = make_vendor()
    stream = begun(vendor)
    wave = np.sin(2 * np.pi * hz * np.arange(8_000) / 8_000) * 8_000
    codes = MU_LAW.encoded(wave.astype(np.int16))
    events = [
        event for at in range(0, 8_000, 160) for event in stream.take(vendor.media(codes[at : at + 160]))
    ]
    up = b"".join(event.pcm for event in events if isinstance(event, CallAudio))
    assert 0.85 < loudness(up[FRAME_BYTES:]) / loudness(wave.astype("<i2").tobytes()) < 1.1
    messages = [
        message for at in range(0, len(up), FRAME_BYTES) for message in stream.audio(up[at : at + 960])
    ]
    payloads = [base64.b64decode(json.loads(message)["media"]["payload"]) for message in messages]
    assert {len(payload) for payload in payloads} == {160}
    down = MU_LAW.decoded(b"".join(payloads[1:]))
    assert 0.8 < loudness(down.astype("<i2").tobytes()) / loudness(wave.astype("<i2").tobytes()) < 1.15
    spectrum = np.abs(np.fft.rfft(down[:4_000]))
    assert abs(int(spectrum.argmax()) * 2 - hz) <= 4


def test_a_european_telephone_is_understood_by_its_own_law() -> None:
    vendor = TelnyxVendor()
    vendor.encoding = "PCMA"
    stream = begun(vendor)
    wave = (np.sin(2 * np.pi * 500 * np.arange(1_600) / 8_000) * 8_000).astype(np.int16)
    events = [
        event
        for at in range(0, 1_600, 160)
        for event in stream.take(vendor.media(A_LAW.encoded(wave)[at : at + 160]))
    ]
    up = b"".join(event.pcm for event in events if isinstance(event, CallAudio))
    assert 0.9 < loudness(up[FRAME_BYTES:]) / loudness(wave.astype("<i2").tobytes()) < 1.1


def test_what_we_say_has_the_fields_that_twilio_wants() -> None:
    vendor = TwilioVendor()
    stream = begun(vendor)
    messages = [*stream.audio(bytes(960)), *stream.audio(bytes(960)), *stream.rest()]
    assert [json.loads(message)["streamSid"] for message in messages] == [vendor.stream_id] * len(messages)
    assert json.loads(stream.mark("m")) == {
        "event": "mark",
        "streamSid": vendor.stream_id,
        "mark": {"name": "m"},
    }
    assert json.loads(stream.clear()) == {"event": "clear", "streamSid": vendor.stream_id}


def test_what_we_say_has_the_fields_that_telnyx_wants() -> None:
    stream = begun(TelnyxVendor())
    said = json.loads([*stream.audio(bytes(960)), *stream.audio(bytes(960))][0])
    assert said == {"event": "media", "media": {"payload": said["media"]["payload"]}}
    assert MU_LAW.decoded(base64.b64decode(said["media"]["payload"])).tolist() == [0] * 160
    assert json.loads(stream.mark("m")) == {"event": "mark", "mark": {"name": "m"}}
    assert json.loads(stream.clear()) == {"event": "clear"}


@each_vendor
def test_what_was_cleared_is_not_said_later(make_vendor: MakeVendor) -> None:
    stream = begun(make_vendor())
    stream.audio(bytes(960))
    stream.clear()
    assert stream.rest() == []


@each_vendor
def test_each_message_has_its_turn(make_vendor: MakeVendor) -> None:
    vendor = make_vendor()
    stream = stream_of(vendor)
    assert refused(stream, vendor.start({})) is CallerFault.OUT_OF_ORDER
    for early in (vendor.media(), vendor.dtmf("1"), vendor.mark("m"), vendor.stop()):
        assert refused(stream, early) is CallerFault.OUT_OF_ORDER
    stream.take(vendor.connected())
    assert refused(stream, vendor.connected()) is CallerFault.OUT_OF_ORDER
    assert refused(stream, vendor.media()) is CallerFault.OUT_OF_ORDER
    stream.take(vendor.start({}))
    assert refused(stream, vendor.start({})) is CallerFault.OUT_OF_ORDER
    stream.take(vendor.stop())
    for late in (vendor.media(), vendor.dtmf("1"), vendor.stop(), vendor.start({}), vendor.connected()):
        assert refused(stream, late) is CallerFault.OUT_OF_ORDER


@each_vendor
def test_a_message_that_comes_twice_is_taken_once(make_vendor: MakeVendor) -> None:
    vendor = make_vendor()
    stream = begun(vendor)
    digit = vendor.dtmf("1")
    assert digits(stream.take(digit)) == "1"
    assert refused(stream, digit) is CallerFault.REPEATED
    assert digits(stream.take(vendor.dtmf("1"))) == "1"


@each_vendor
def test_a_message_of_another_stream_is_refused(make_vendor: MakeVendor) -> None:
    vendor, other = make_vendor(), make_vendor()
    stream = begun(vendor)
    other.stream_id = "MZ0"
    assert refused(stream, other.dtmf("1")) is CallerFault.FOREIGN_STREAM


def changed(message: str, *path: str, to: Any) -> str:
    """A message with one field changed; `...` takes it away."""
    whole = json.loads(message)
    inner = whole
    for name in path[:-1]:
        inner = inner[name]
    if to is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return json.dumps(whole)


UNREADABLE = {
    "nothing": ("", CallerFault.MALFORMED),
    "half": ("{", CallerFault.MALFORMED),
    "a list": ("[]", CallerFault.MALFORMED),
    "null": ("null", CallerFault.MALFORMED),
    "a number for an event": ('{"event": 7}', CallerFault.MALFORMED),
    "half a character": ('{"event": "\ud800"}', CallerFault.MALFORMED),
    "media without media": ('{"event": "media"}', CallerFault.MALFORMED),
    "a word for a number": (
        '{"event": "media", "media": {"chunk": "x", "payload": ""}}',
        CallerFault.MALFORMED,
    ),
    "no base64": ('{"event": "media", "media": {"chunk": "1", "payload": "?"}}', CallerFault.MALFORMED),
    "two digits": ('{"event": "dtmf", "dtmf": {"digit": "55"}}', CallerFault.MALFORMED),
    "no digit": ('{"event": "dtmf", "dtmf": {"digit": "w"}}', CallerFault.MALFORMED),
    "no time": ('{"event": "dtmf", "dtmf": {"digit": "1"}, "occurred_at": "now"}', CallerFault.MALFORMED),
    "a time without a zone": (
        '{"event": "dtmf", "dtmf": {"digit": "1"}, "occurred_at": "0001-01-01T00:00:00"}',
        CallerFault.MALFORMED,
    ),
    "another event": ('{"event": "hello"}', CallerFault.UNKNOWN_EVENT),
    "too long": ('{"event": "' + "x" * MESSAGE_CHARS_MAX + '"}', CallerFault.OVERSIZED),
    "too much audio": (
        '{"event": "media", "media": {"chunk": "1", "payload": "' + "A" * 16_000 + '"}}',
        CallerFault.OVERSIZED,
    ),
    "too deep": ("[" * 20_000, CallerFault.MALFORMED),
    "too great": (
        '{"event": "mark", "sequence_number": 1e400, "sequenceNumber": 1e400}',
        CallerFault.MALFORMED,
    ),
}


@pytest.mark.parametrize(("message", "fault"), UNREADABLE.values(), ids=UNREADABLE.keys())
@each_vendor
def test_what_cannot_be_read_is_refused_by_its_fault(
    make_vendor: MakeVendor, message: str, fault: CallerFault
) -> None:
    vendor = make_vendor()
    stream = begun(vendor)
    assert refused(stream, message) is fault
    assert digits(stream.take(vendor.dtmf("1"))) == "1"


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("start", "mediaFormat", "encoding"), "audio/x-opus", CallerFault.UNSUPPORTED_MEDIA),
        (("start", "mediaFormat", "sampleRate"), 16_000, CallerFault.UNSUPPORTED_MEDIA),
        (("start", "mediaFormat", "channels"), 2, CallerFault.UNSUPPORTED_MEDIA),
        (("start", "mediaFormat"), ..., CallerFault.MALFORMED),
        (("start", "callSid"), "", CallerFault.MALFORMED),
        (("start", "callSid"), "a call", CallerFault.MALFORMED),
        (("streamSid",), ..., CallerFault.MALFORMED),
        (("start", "customParameters"), {"a": "x" * 600}, CallerFault.OVERSIZED),
        (("start", "customParameters"), {str(n): "" for n in range(40)}, CallerFault.OVERSIZED),
        (("start", "customParameters"), {"a": 1}, CallerFault.MALFORMED),
        (("start",), ..., CallerFault.MALFORMED),
    ],
    ids=str,
)
def test_a_call_that_begins_wrongly_does_not_begin(
    path: Sequence[str], value: object, fault: CallerFault
) -> None:
    vendor = TwilioVendor()
    stream = stream_of(vendor)
    stream.take(vendor.connected())
    good = vendor.start({})
    assert refused(stream, changed(good, *path, to=value)) is fault
    assert isinstance(stream.take(good)[0], CallStarted)


def test_a_digit_is_told_with_the_time_at_which_it_was_pressed() -> None:
    vendor = TelnyxVendor()
    (event,) = begun(vendor).take(vendor.dtmf("1", occurred_at="2025-06-05T08:54:19.698408Z"))
    assert event == CallDigit("1", 1_749_113_659.698408)


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_time_at_the_end_of_time_is_one(at: str) -> None:
    vendor = TelnyxVendor()
    assert digits(begun(vendor).take(vendor.dtmf("1", occurred_at=at))) == "1"


def test_pieces_that_come_in_another_order_are_heard_in_theirs() -> None:
    order = InOrder()
    heard = [piece for chunk in (1, 3, 2, 5, 4, 6) for piece in order.following(chunk, b"%d" % chunk)]
    assert heard == [b"1", b"2", b"3", b"4", b"5", b"6"]


def test_a_piece_that_never_comes_is_not_waited_for() -> None:
    order = InOrder()
    heard = [piece for chunk in (1, 3, 4, 5, 6, 7, 8, 2) for piece in order.following(chunk, b"%d" % chunk)]
    assert heard == [b"1", b"3", b"4", b"5", b"6", b"7", b"8"]


@settings(deadline=None)
@given(st.lists(st.integers(-(10**20), 10**20) | st.integers(0, 20), max_size=60))
def test_whatever_their_numbers_pieces_are_heard_once_in_order_and_few_wait(chunks: list[int]) -> None:
    check_order(chunks)


def check_order(chunks: list[int]) -> None:
    order = InOrder()
    heard: list[int] = []
    for chunk in chunks:
        heard += [int(piece) for piece in order.following(chunk, str(chunk).encode())]
        assert len(vars(order)["_held"]) <= 5
    assert heard == sorted(set(heard))


@settings(deadline=None)
@given(st.permutations(range(5)))
def test_pieces_that_are_a_little_late_are_all_heard(late: list[int]) -> None:
    order = InOrder()
    heard = [
        int(piece)
        for chunk in (0, *(1 + n for n in late), 6)
        for piece in order.following(chunk, str(chunk).encode())
    ]
    assert heard == list(range(7))
