"""Phone calls from the vendor's request to the hang-up, over real sockets, by a peer in place of it."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from agentfield_journal import JournalUnavailable
from agentfield_rt.errors import CloseReason
from agentfield_rt.frames import AudioFrame, SpeechStarted
from agentfield_rt.plane.telephony.caller import MARK_EVERY_MS, MARKS_MAX
from agentfield_rt.voice.session import VoiceSession
from tests.telephony.exchange import Exchange, exchange
from tests.telephony.peer import called
from tests.telephony.vendors import CALLED, CALLER, VENDORS, TwilioVendor, Vendor

MakeVendor = Callable[[], Vendor]
each_vendor = pytest.mark.parametrize("make_vendor", VENDORS, ids=lambda vendor: vendor.name)
LONG = " ".join(["word"] * 100)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    with pytest.MonkeyPatch.context() as patch, exchange(tmp_path_factory.mktemp("data"), patch) as line:
        yield line


@each_vendor
@pytest.mark.asyncio
async def test_a_call_is_heard_and_answered_and_ends_with_the_phone(
    line: Exchange, make_vendor: MakeVendor
) -> None:
    vendor = make_vendor()
    async with called(line.server, vendor) as phone:
        call = await line.call()
        info = call.session.metadata["phone"]
        assert (info["vendor"], info["from"], info["to"], info["parameters"]) == (
            vendor.name,
            CALLER,
            CALLED,
            {},
        )
        await phone.send(*(vendor.media() for _ in range(20)))
        await call.types("one two three")
        await phone.hears("media", times=5)
        await call.record("utterance_played")
        assert phone.heard("mark") >= 1
        await phone.send(vendor.stop())
        assert await phone.closed == 1000
    assert await call.close_reason() == "caller_gone"
    sizes = {len(frame.pcm) for frame in line.server.adapters[-1].sent if isinstance(frame, AudioFrame)}
    assert sizes == {960}


@each_vendor
@pytest.mark.asyncio
async def test_digits_reach_the_handler_which_speaks_to_the_end_and_hangs_up(
    line: Exchange, make_vendor: MakeVendor
) -> None:
    vendor = make_vendor()
    async with called(line.server, vendor, target="desk.pin") as phone:
        call = await line.call()
        await phone.send(*(vendor.dtmf(digit) for digit in "4711#"))
        assert await phone.closed == 1000
        assert phone.plays_until_s <= asyncio.get_running_loop().time()
    records = await call.records()
    kinds = [record["kind"] for record in records]
    assert kinds.count("caller_digit_received") == 5
    assert "utterance_played" in kinds
    assert "4 digits, end_on" in str([record.get("content") for record in records])
    assert not any("content" in record for record in records if record["kind"] == "caller_digit_received")


@each_vendor
@pytest.mark.asyncio
async def test_a_caller_who_cuts_in_silences_the_phone_and_its_marks_say_what_was_heard(
    line: Exchange, make_vendor: MakeVendor
) -> None:
    vendor = make_vendor()
    async with called(line.server, vendor) as phone:
        phone.returns_marks = False
        call = await line.call()
        await call.types(LONG)
        await phone.hears("mark", times=2)
        await phone.send(vendor.mark(phone.names()[0]))
        await phone.send(*(vendor.media() for _ in range(10)))
        await until_sent(line, 9)  # so the mark before them was taken
        call.gives(SpeechStarted("item_user"))
        await phone.hears("clear")
        cut = await call.record("utterance_interrupted")
        assert cut["data"]["heard_ms"] == MARK_EVERY_MS
        said = [message["event"] for message in phone.said]
        assert "media" not in said[said.index("clear") :]
        await phone.send(vendor.stop())


async def until_sent(line: Exchange, frames: int) -> None:
    """Return once the provider has got so many frames of audio."""
    adapter = line.server.adapters[-1]
    while sum(isinstance(frame, AudioFrame) for frame in adapter.sent) < frames:
        await asyncio.to_thread(line.server.get, "/health")


@each_vendor
@pytest.mark.asyncio
async def test_a_vendor_that_returns_no_marks_is_not_waited_for_and_not_believed(
    line: Exchange, make_vendor: MakeVendor
) -> None:
    vendor = make_vendor()
    async with called(line.server, vendor, target="desk.pin") as phone:
        phone.returns_marks = False
        call = await line.call()
        await phone.send(vendor.dtmf("#"))
        assert await phone.closed == 1000
        assert phone.heard("mark") <= MARKS_MAX
    assert "utterance_played" in await call.kinds()


@pytest.mark.asyncio
async def test_marks_that_nobody_set_say_nothing(line: Exchange) -> None:
    vendor = TwilioVendor()
    async with called(line.server, vendor) as phone:
        call = await line.call()
        await phone.send(*(vendor.mark(name) for name in ("mark_0", "mark_99", "", "x" * 1_000)))
        await call.types("one two three")
        await call.record("utterance_played")
        await phone.send(vendor.stop())
    assert "caller_message_refused" not in await call.kinds()


@pytest.mark.asyncio
async def test_many_phones_at_once_are_each_heard_and_answered(line: Exchange) -> None:
    async def one(number: int) -> None:
        vendor = VENDORS[number % 2]()
        vendor.stream_id = f"stream-{number}"
        async with called(line.server, vendor, target="desk.pin") as phone:
            await phone.send(*(vendor.media() for _ in range(10)))
            await phone.send(*(vendor.dtmf(digit) for digit in f"{number:02}#"))
            assert await phone.closed == 1000
            assert phone.heard("media") > 5

    await asyncio.gather(*(one(number) for number in range(20)))
    for _ in range(20):
        kinds = await (await line.call()).kinds()
        assert kinds.count("caller_digit_received") == 3


@pytest.mark.asyncio
async def test_a_phone_is_hung_up_on_also_when_the_end_cannot_be_recorded(
    line: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cannot(session: VoiceSession, reason: CloseReason) -> None:
        raise JournalUnavailable("the disk is away")

    vendor = TwilioVendor()
    async with called(line.server, vendor) as phone:
        call = await line.call()
        with monkeypatch.context() as patch:
            patch.setattr(VoiceSession, "close", cannot)
            await phone.send(vendor.stop())
            assert await phone.closed == 1000
    await asyncio.to_thread(line.server.post, f"/api/v1/session-instances/{call.session.id}/close")
    assert await call.close_reason() == "normal"


@pytest.mark.asyncio
async def test_a_phone_that_goes_without_a_word_ends_its_session(line: Exchange) -> None:
    vendor = TwilioVendor()
    async with called(line.server, vendor) as phone:
        call = await line.call()
        phone.socket.transport.abort()
    assert await call.close_reason() == "caller_gone"
