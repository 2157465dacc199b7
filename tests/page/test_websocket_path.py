"""The websocket path, and the recording that tests measure times on: real samples through real worklets."""

import asyncio
import base64

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.async_api import Page, expect

from tests.page.fake_plane import FakePlane
from tests.page.fake_session import FakeSession
from tests.page.pages import Pages, begin_call, facts, press_call, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOWN_HZ = 24_000
UP_HZ = 16_000
RECORDING_HZ = 48_000


def tone(hz: int, duration_ms: int) -> bytes:
    time_s = np.arange(DOWN_HZ * duration_ms // 1000) / DOWN_HZ
    return (12_000 * np.sin(2 * np.pi * hz * time_s)).astype("<i2").tobytes()


def loudest_hz(samples: NDArray[np.int16], rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate_hz / len(samples))


async def recording(page: Page) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """The microphone's and the agent's side of the newest call."""
    dump = await page.evaluate("agentfieldRecord.dump()")
    assert dump["sample_rate_hz"] == RECORDING_HZ
    sides = [np.frombuffer(base64.b64decode(dump[side]), "<i2") for side in ("microphone", "remote")]
    assert len(sides[0]) == len(sides[1]) == dump["samples"]
    return sides[0], sides[1]


async def recorded(page: Page, samples_min: int) -> None:
    """Wait until the recording has gone on for so many samples more."""
    await page.evaluate(
        """async (more) => {
            const length = async () => (await agentfieldRecord.dump()).samples;
            const goal = (await length()) + more;
            while ((await length()) < goal) await new Promise((resolve) => setTimeout(resolve, 50));
        }""",
        samples_min,
    )


async def call_on_websocket(pages: Pages, plane: FakePlane) -> tuple[Page, FakeSession]:
    page = await pages.open("?path=websocket&record=1")
    return page, await begin_call(page, plane)


async def test_when_webrtc_is_refused_one_button_takes_the_websocket_path(
    pages: Pages, plane: FakePlane
) -> None:
    plane.offer_refusal = (502, "the provider refused the call")
    page = await pages.open()
    await press_call(page)
    await plane.session()
    await expect(page.get_by_role("alert")).to_contain_text("The provider did not take the call.")
    await expect(page.get_by_role("alert")).to_contain_text("the provider refused the call")
    await page.get_by_role("button", name="Use the websocket path").click()
    session = await plane.session()
    await until(page, "state.call === 'in_call'")
    assert session.target["target"] == "voice-support.voice-websocket"
    await expect(page.get_by_role("status")).to_have_text("In call over a websocket")


async def test_the_microphone_goes_up_at_16_khz(pages: Pages, plane: FakePlane) -> None:
    page, session = await call_on_websocket(pages, plane)
    assert session.media is not None
    before = asyncio.get_running_loop().time()
    start_bytes = len(session.heard)
    await session.heard_more(UP_HZ * 2 * 2)
    seconds = asyncio.get_running_loop().time() - before
    rate_hz = (len(session.heard) - start_bytes) / 2 / seconds
    assert rate_hz == pytest.approx(UP_HZ, rel=0.15)
    # Chromium's fake microphone beeps; silence would mean that nothing was connected.
    assert np.abs(np.frombuffer(bytes(session.heard), "<i2")).max() > 1_000
    await page.get_by_role("button", name="Mute", exact=True).click()
    await until(page, "state.microphone === 'muted'")
    await session.heard_more(UP_HZ * 2 // 2)
    quiet_from = len(session.heard)
    await session.heard_more(UP_HZ * 2)
    assert np.abs(np.frombuffer(bytes(session.heard[quiet_from:]), "<i2")).max() == 0


async def test_what_comes_down_at_24_khz_is_heard_in_tune(pages: Pages, plane: FakePlane) -> None:
    page, session = await call_on_websocket(pages, plane)
    assert session.media is not None
    await session.media.send_bytes(tone(1_000, 400))
    await recorded(page, RECORDING_HZ)
    _, remote = await recording(page)
    heard = np.flatnonzero(np.abs(remote) > 100)
    assert (heard[-1] - heard[0]) / RECORDING_HZ == pytest.approx(0.4, abs=0.03)
    middle = remote[heard[0] + 2_400 : heard[-1] - 2_400]
    assert loudest_hz(middle, RECORDING_HZ) == pytest.approx(1_000, abs=5)
    # One unbroken tone: no sample of it repeats or is missing where pieces meet.
    assert np.abs(np.diff(middle.astype(int), n=2)).max() < 300


async def test_clear_silences_what_is_queued_at_once(pages: Pages, plane: FakePlane) -> None:
    page, session = await call_on_websocket(pages, plane)
    assert session.media is not None
    await session.media.send_bytes(tone(500, 1_500))
    await recorded(page, RECORDING_HZ // 4)
    await session.media.send_json({"type": "clear"})
    await recorded(page, RECORDING_HZ)
    _, remote = await recording(page)
    heard = np.flatnonzero(np.abs(remote) > 100)
    assert (heard[-1] - heard[0]) / RECORDING_HZ < 1.2
    await session.media.send_bytes(tone(800, 300))
    await recorded(page, RECORDING_HZ)
    _, remote = await recording(page)
    again = np.flatnonzero(np.abs(remote) > 100)
    assert again[-1] > heard[-1] + RECORDING_HZ // 2
    assert loudest_hz(remote[again[-1] - 9_600 : again[-1] - 2_400], RECORDING_HZ) == pytest.approx(
        800, abs=8
    )


async def test_an_error_of_the_media_socket_is_told_in_its_words(pages: Pages, plane: FakePlane) -> None:
    page, session = await call_on_websocket(pages, plane)
    assert session.media is not None
    await session.media.send_json({"type": "error", "message": "the provider hung up"})
    await session.media.close(4500)
    await expect(page.get_by_role("alert")).to_contain_text("the provider hung up")
    assert await facts(page, "state.failure.code") == "websocket_lost"


async def test_a_server_without_a_websocket_target_says_so(pages: Pages, plane: FakePlane) -> None:
    plane.targets = plane.targets[:1]
    page = await pages.open("?path=websocket")
    await press_call(page)
    await expect(page.get_by_role("alert")).to_contain_text("The server offers no session over websocket.")


async def test_both_sides_of_a_webrtc_call_are_recorded_on_one_clock(pages: Pages, plane: FakePlane) -> None:
    plane.tone_hz = 600
    page = await pages.open("?record=1")
    await begin_call(page, plane)
    await recorded(page, 2 * RECORDING_HZ)
    await page.get_by_role("button", name="Hang up").click()
    await until(page, "state.call === 'ended'")
    microphone, remote = await recording(page)
    assert np.abs(microphone).max() > 1_000
    assert loudest_hz(remote[-RECORDING_HZ // 2 :], RECORDING_HZ) == pytest.approx(600, abs=10)


async def test_without_being_asked_nothing_is_recorded(pages: Pages) -> None:
    page = await pages.open()
    assert await page.evaluate("typeof window.agentfieldRecord") == "undefined"
