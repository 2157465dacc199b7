"""A caller's connection from our end: what it answers, and what waits to be sent."""

from __future__ import annotations

import aioice.ice
import pytest
from aiortc import rtcpeerconnection

from agentfield_adapters.media.webrtc.caller import WAITING_FRAMES_MAX, WebRtcCaller
from agentfield_adapters.media.webrtc.pacing import Pacer
from agentfield_adapters.media.webrtc.stack import CODECS_ATTRIBUTE
from agentfield_rt.caller_media import CallerEvents, IceSettings
from agentfield_rt.errors import UnsupportedTransport
from agentfield_rt.frames import FRAME_BYTES
from agentfield_rt.sdp import read_offer
from tests.media.offers import CHROMIUM
from tests.virtual_time import in_virtual_time

FRAME = b"\1" * FRAME_BYTES
SILENCE = bytes(FRAME_BYTES)


def caller() -> WebRtcCaller:
    events = CallerEvents(heard=lambda pcm: None, digit=lambda digit: None, gone=lambda: None)
    return WebRtcCaller(events, IceSettings(), pacer=Pacer())


def test_the_stack_still_reads_the_names_that_we_set() -> None:
    """A contract with aiortc and aioice: what we replace is what their code looks at."""
    assert CODECS_ATTRIBUTE in rtcpeerconnection.create_media_description_for_transceiver.__code__.co_names
    asks_for_consent = aioice.Connection.query_consent.__code__.co_names
    assert {"CONSENT_INTERVAL", "CONSENT_FAILURES"} <= set(asks_for_consent)


@pytest.mark.asyncio
async def test_the_answer_takes_opus_with_its_copies_and_keys_and_nothing_else() -> None:
    ours = caller()
    answer = await ours.answer(read_offer(CHROMIUM, private=False))
    await ours.close()
    lines = answer.splitlines()
    (media,) = (line for line in lines if line.startswith("m="))
    assert media.split()[2:] == ["UDP/TLS/RTP/SAVPF", "111", "110", "126"]
    assert {line for line in lines if line.startswith("a=rtpmap")} == {
        "a=rtpmap:111 opus/48000/2",
        "a=rtpmap:110 telephone-event/48000",
        "a=rtpmap:126 telephone-event/8000",
    }
    assert "a=fmtp:111 minptime=10;useinbandfec=1" in lines
    assert "a=fmtp:126 0-15" in lines


@pytest.mark.asyncio
async def test_a_machine_without_an_address_says_what_would_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_loopback(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return []

    monkeypatch.setattr(aioice.ice, "get_host_addresses", only_loopback)
    ours = caller()
    with pytest.raises(UnsupportedTransport, match="use a websocket"):
        await ours.answer(read_offer(CHROMIUM, private=False))
    await ours.close()


@in_virtual_time
async def test_what_is_played_is_sent_in_order_and_silence_after_it() -> None:
    ours = caller()
    await ours.play(FRAME)
    await ours.play(b"\2\2")
    assert [ours.next_frame() for _ in range(3)] == [FRAME, b"\2\2".ljust(FRAME_BYTES, b"\0"), SILENCE]
    await ours.close()


@in_virtual_time
async def test_clearing_drops_all_that_was_not_sent() -> None:
    ours = caller()
    for _ in range(6):
        await ours.play(FRAME)
    assert ours.next_frame() == FRAME
    await ours.clear()
    assert ours.next_frame() == SILENCE
    await ours.play(FRAME)
    assert ours.next_frame() == FRAME
    await ours.close()


@in_virtual_time
async def test_no_more_than_a_second_waits() -> None:
    ours = caller()
    for number in range(WAITING_FRAMES_MAX + 5):
        await ours.play(bytes([number]) * FRAME_BYTES)
    sent = [ours.next_frame()[0] for _ in range(WAITING_FRAMES_MAX + 1)]
    assert sent == [*range(5, WAITING_FRAMES_MAX + 5), 0]
    await ours.close()
