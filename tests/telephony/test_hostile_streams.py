"""Streams that do what no vendor does: what is wrong is recorded, what is too much ends the call."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from agentfield_rt.plane.telephony import calls as telephony_calls
from agentfield_rt.plane.telephony import routes as telephony
from agentfield_rt.telephony import TICKET
from agentfield_rt.voice.caller_faults import FAULTS_MAX
from tests.telephony.exchange import Exchange, exchange
from tests.telephony.peer import ask, called, opened, told
from tests.telephony.vendors import VENDORS, TelnyxVendor, TwilioVendor, Vendor

MakeVendor = Callable[[], Vendor]
each_vendor = pytest.mark.parametrize("make_vendor", VENDORS, ids=lambda vendor: vendor.name)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    with pytest.MonkeyPatch.context() as patch, exchange(tmp_path_factory.mktemp("data"), patch) as line:
        yield line


@each_vendor
@pytest.mark.asyncio
async def test_a_wrong_message_is_recorded_and_the_call_goes_on(
    line: Exchange, make_vendor: MakeVendor
) -> None:
    vendor = make_vendor()
    async with called(line.server, vendor) as phone:
        call = await line.call()
        await phone.send("{", vendor.connected(), '{"event": "hello"}', '{"event": "hello"}')
        await phone.socket.send(b"\0\1")
        digit = vendor.dtmf("1")
        await phone.send(digit, digit)
        await call.types("one")
        await call.record("utterance_played")
        await phone.send(vendor.stop())
    records = await call.records()
    faults = [record["data"]["fault"] for record in records if record["kind"] == "caller_message_refused"]
    assert faults == ["malformed", "out_of_order", "unknown_event", "malformed", "repeated"]
    assert sum(record["kind"] == "caller_digit_received" for record in records) == 1


@each_vendor
@pytest.mark.asyncio
async def test_ten_wrong_messages_in_a_minute_end_the_call(line: Exchange, make_vendor: MakeVendor) -> None:
    vendor = make_vendor()
    async with called(line.server, vendor) as phone:
        call = await line.call()
        await phone.send(*("{" for _ in range(FAULTS_MAX - 1)))
        await call.types("still there")
        await call.record("utterance_played")
        await phone.send("{")
        assert await phone.closed == 4400
    kinds = await call.kinds()
    assert kinds.count("caller_message_refused") == FAULTS_MAX
    assert await call.close_reason() == "caller_gone"


@pytest.mark.asyncio
async def test_events_that_are_not_known_are_recorded_once_and_end_nothing(line: Exchange) -> None:
    vendor = TwilioVendor()
    async with called(line.server, vendor) as phone:
        call = await line.call()
        await phone.send(*('{"event": "hello"}' for _ in range(100)))
        await call.types("one")
        await call.record("utterance_played")
        await phone.send(vendor.stop())
    assert (await call.kinds()).count("caller_message_refused") == 1


@pytest.mark.asyncio
async def test_a_message_that_is_far_too_large_ends_the_call(line: Exchange) -> None:
    vendor = TwilioVendor()
    async with called(line.server, vendor) as phone:
        call = await line.call()
        await phone.send("x" * 100_000)
        assert await phone.closed == 1009
    assert await call.close_reason() == "caller_gone"


@pytest.mark.asyncio
async def test_more_audio_than_time_passes_is_not_taken(line: Exchange) -> None:
    vendor = TwilioVendor()
    async with called(line.server, vendor) as phone:
        call = await line.call()
        second = bytes([255]) * 8_000
        await phone.send(*(vendor.media(second) for _ in range(40)))
        assert await phone.closed == 4400
    faults = {r["data"]["fault"] for r in await call.records() if r["kind"] == "caller_message_refused"}
    assert faults == {"too_fast"}


@pytest.mark.asyncio
async def test_more_digits_than_anybody_can_press_are_not_taken(line: Exchange) -> None:
    vendor = TwilioVendor()
    async with called(line.server, vendor) as phone:
        call = await line.call()
        await phone.send(*(vendor.dtmf("5") for _ in range(1_000)))
        assert await phone.closed == 4400
    kinds = await call.kinds()
    assert kinds.count("caller_message_refused") == FAULTS_MAX
    assert kinds.count("caller_digit_received") < 200


def first_messages(vendor: Vendor) -> list[list[str]]:
    """What a stream may begin with, and must not."""
    wrong_media = vendor.start({}).replace("x-mulaw", "opus").replace("PCMU", "OPUS")
    return [
        [vendor.start({})],
        [vendor.media()],
        [vendor.connected(), vendor.media()],
        [vendor.connected(), vendor.connected()],
        [vendor.connected(), wrong_media],
        ["{"],
        [vendor.connected(), "x" * 40_000],
    ]


@each_vendor
@pytest.mark.parametrize("which", range(7))
@pytest.mark.asyncio
async def test_a_stream_that_begins_wrongly_starts_no_session(
    line: Exchange, make_vendor: MakeVendor, which: int
) -> None:
    before = len(line.server.adapters)
    vendor = make_vendor()
    async with opened(line.server, vendor) as phone:
        await phone.send(*first_messages(vendor)[which])
        assert await phone.closed == 4400
    assert len(line.server.adapters) == before


@pytest.mark.asyncio
async def test_a_stream_that_says_nothing_is_not_waited_for(
    line: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telephony_calls, "START_WITHIN_S", 0.05)
    vendor = TelnyxVendor()
    async with opened(line.server, vendor) as phone:
        await phone.send(vendor.connected())
        assert await phone.closed == 4400


@pytest.mark.asyncio
async def test_only_so_many_streams_may_say_nothing(line: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telephony, "STARTING_MAX", 1)
    async with opened(line.server, TelnyxVendor()) as first:
        with pytest.raises(ExceptionGroup):
            async with opened(line.server, TelnyxVendor()):
                pass
        await first.send("{")
        assert await first.closed == 4400
    vendor = TelnyxVendor()
    ticket = told((await asyncio.to_thread(ask, line.server, vendor)).text).parameters[TICKET]
    async with opened(line.server, vendor) as phone:
        await phone.send(vendor.connected(), vendor.start({TICKET: ticket}))
        call = await line.call()
        await phone.send(vendor.stop())
    assert await call.close_reason() == "caller_gone"


@pytest.mark.asyncio
async def test_a_phone_from_which_nothing_comes_any_more_has_gone(
    line: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with called(line.server, TwilioVendor()) as phone:
        call = await line.call()
        monkeypatch.setattr(telephony_calls, "SILENT_MAX_S", 0.05)
        await phone.send(phone.vendor.media())
        assert await phone.closed == 1000
    assert await call.close_reason() == "caller_gone"
