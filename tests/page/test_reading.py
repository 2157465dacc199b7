"""Everybody can read and use it: contrast, phones, motion, names; and nothing comes from elsewhere."""

from typing import Literal

import pytest
from playwright.async_api import Page, expect

from tests.page.fake_plane import FakePlane
from tests.page.pages import Pages, begin_call, until
from tests.page.script import ask, demo_call, execute, finish_saying, start_saying

pytestmark = pytest.mark.asyncio(loop_scope="session")

# WCAG 2.2, 1.4.3: the contrast of every visible text with the nearest background behind it.
LOW_CONTRASTS = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const rgb = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = (channels) => {
        const [r, g, b] = channels.slice(0, 3).map((value) => value / 255)
            .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        for (let node = element; node; node = node.parentElement) {
            const colour = rgb(getComputedStyle(node).backgroundColor);
            if (colour[3] === 255) return colour;
        }
        return [255, 255, 255, 255];
    };
    const low = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        const text = walker.currentNode.textContent.trim();
        if (!text || !element.checkVisibility() || element.closest("script, noscript")) continue;
        const [one, other] = [rgb(getComputedStyle(element).color), behind(element)].map(luminance);
        const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (contrast < 4.5) low.push([text.slice(0, 40), contrast.toFixed(2)]);
    }
    return low;
}"""


async def full_call(
    pages: Pages, plane: FakePlane, *, width_px: int, scheme: Literal["light", "dark"]
) -> Page:
    page = await pages.open("?path=websocket", width_px=width_px, scheme=scheme)
    session = await begin_call(page, plane)
    await demo_call(session)
    await session.record("realtime_input_send_requested", "op_9", frame_id="frm_9", media="text")
    await session.record("realtime_input_send_unknown", "op_9", reason="connection_lost")
    await session.record("realtime_failed", reason="connection_lost")
    await session.live("state", user="speaking", agent="speaking")
    await until(page, "records.at(-1).kind === 'realtime_failed' && state.user === 'speaking'")
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_all_text_has_enough_contrast(
    pages: Pages, plane: FakePlane, scheme: Literal["light", "dark"]
) -> None:
    page = await full_call(pages, plane, width_px=1280, scheme=scheme)
    await page.locator("summary", has_text="resolve_turn").first.click()
    assert await page.evaluate(LOW_CONTRASTS) == []
    await page.get_by_role("button", name="Hang up").click()
    await until(page, "state.verify")
    await page.mouse.move(0, 0)
    await page.wait_for_function("() => document.getAnimations().length === 0")
    assert await page.evaluate(LOW_CONTRASTS) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_failure_has_enough_contrast(
    pages: Pages, plane: FakePlane, scheme: Literal["light", "dark"]
) -> None:
    plane.start_refusal = (400, "no such thing")
    page = await pages.open("?autostart=1", scheme=scheme)
    await until(page, "state.call === 'failed'")
    assert await page.evaluate(LOW_CONTRASTS) == []


async def test_a_phone_shows_everything_without_scrolling_sideways(pages: Pages, plane: FakePlane) -> None:
    page = await full_call(pages, plane, width_px=390, scheme="light")
    await page.get_by_role("button", name="Journal").click()
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    for button in await page.locator("button:visible").all():
        box = await button.bounding_box()
        assert box is not None and box["height"] >= 24, await button.text_content()
    await expect(page.get_by_role("button", name="Mute")).to_be_visible()


async def test_on_a_phone_the_newest_words_stay_in_view(pages: Pages, plane: FakePlane) -> None:
    page = await full_call(pages, plane, width_px=390, scheme="light")
    await expect(page.locator(".provisional .words")).to_be_in_viewport()


async def test_every_control_has_a_name(pages: Pages, plane: FakePlane) -> None:
    page = await full_call(pages, plane, width_px=390, scheme="light")
    controls = page.locator("button:visible, input:visible")
    for control in await controls.all():
        name = await control.evaluate(
            "(control) => control.ariaLabel || control.textContent || control.labels?.[0]?.textContent"
        )
        assert name and name.strip()


async def test_nothing_moves_for_a_person_who_asked_for_less_motion(pages: Pages, plane: FakePlane) -> None:
    page = await full_call(pages, plane, width_px=1280, scheme="light")
    await page.emulate_media(reduced_motion="reduce")
    await page.wait_for_function("() => document.getAnimations().length === 0")


async def test_words_that_may_still_change_are_not_read_out(pages: Pages, plane: FakePlane) -> None:
    page = await full_call(pages, plane, width_px=1280, scheme="light")
    provisional = page.locator(".provisional")
    await expect(provisional).to_have_attribute("aria-live", "off")
    assert await provisional.evaluate("(node) => node.closest('[role=log]')") is None


async def test_an_answer_is_read_out_once_when_it_is_settled(pages: Pages, plane: FakePlane) -> None:
    page = await pages.open("?path=websocket")
    session = await begin_call(page, plane)
    await ask(session, "turn_1", "where is order four")
    await execute(session, "turn_1", intent="order_status", order=4)
    utterance = await start_saying(session, "turn_1", "Order four is in customs.")
    line = page.locator(".line.agent")
    await expect(line).to_have_attribute("aria-live", "off")
    await page.locator("summary", has_text="resolve_turn").focus()
    question = await page.locator(".line.user").element_handle()
    await session.live("saying", utterance_id=utterance, text="Order four")
    await finish_saying(session, utterance, "turn_1", "Order four is in customs.")
    await until(page, "turns[0].status === 'completed'")
    assert await line.get_attribute("aria-live") is None
    assert await question.evaluate("(node) => node.isConnected")
    await expect(page.locator("summary", has_text="resolve_turn")).to_be_focused()


async def test_everything_comes_from_the_pages_own_server(pages: Pages, plane: FakePlane) -> None:
    page = await full_call(pages, plane, width_px=1280, scheme="light")
    await page.get_by_role("button", name="Hang up").click()
    await until(page, "state.verify")
    foreign = [url for url in pages.requested if not url.startswith(plane.url)]
    assert foreign == []
    assert any(url.endswith("/js/main.js") for url in pages.requested)
