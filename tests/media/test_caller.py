"""What waits to be sent to a caller: in frames, bounded, and gone when it is cleared."""

from __future__ import annotations

import aioice.ice
import pytest

from agentfield_adapters.media.webrtc.caller import WAITING_FRAMES_MAX, WebRtcCaller
from agentfield_adapters.media.webrtc.pacing import Pacer
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
