"""The text box and the hints: a call for people without a microphone."""

import pytest
from playwright.async_api import expect

from tests.page.fake_plane import HINTS, FakePlane
from tests.page.pages import Pages, begin_call, facts, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_text_typed_in_a_call_is_sent(pages: Pages, plane: FakePlane) -> None:
    page = await pages.open()
    session = await begin_call(page, plane)
    box = page.get_by_label("Type instead of talking")
    await box.fill("  where is order four  ")
    await box.press("Enter")
    assert await session.text() == "where is order four"
    await expect(box).to_have_value("")


async def test_text_typed_before_a_call_starts_one_that_only_listens(pages: Pages, plane: FakePlane) -> None:
    page = await pages.open(microphone=False)
    await page.get_by_label("Type instead of talking").fill("hello")
    await page.keyboard.press("Enter")
    session = await plane.session()
    assert await session.text() == "hello"
    assert "a=recvonly" in session.offers[0]
    assert await facts(page, "[state.call, state.microphone]") == ["in_call", "off"]


async def test_text_waits_until_the_journal_says_that_the_provider_is_connected(
    pages: Pages, plane: FakePlane
) -> None:
    plane.connects = False
    page = await pages.open()
    await page.get_by_role("button", name=HINTS[0]).click()
    session = await plane.session()
    await until(page, "state.call === 'in_call'")
    assert not session.texts.qsize()
    await plane.connect(session)
    assert await session.text() == HINTS[0]


async def test_a_hint_says_itself(pages: Pages, plane: FakePlane) -> None:
    page = await pages.open()
    for hint in HINTS:
        await expect(page.get_by_role("button", name=hint)).to_be_visible()
    session = await begin_call(page, plane)
    await page.get_by_role("button", name=HINTS[1]).click()
    assert await session.text() == HINTS[1]


async def test_text_the_server_does_not_take_is_explained_and_the_call_goes_on(
    pages: Pages, plane: FakePlane
) -> None:
    page = await pages.open()
    session = await begin_call(page, plane)
    session.connected.clear()
    await page.get_by_role("button", name=HINTS[0]).click()
    await expect(page.get_by_role("alert")).to_contain_text("the session is not connected")
    assert await facts(page, "state.call") == "in_call"


async def test_escape_and_the_stop_button_interrupt_the_agent(pages: Pages, plane: FakePlane) -> None:
    page = await pages.open()
    session = await begin_call(page, plane)
    stop = page.get_by_role("button", name="Stop the agent")
    await expect(stop).to_be_hidden()
    await session.live("state", user="listening", agent="speaking")
    await stop.click()
    await session.interrupted()
    await page.get_by_label("Type instead of talking").press("Escape")
    await session.interrupted()


async def test_a_whole_call_works_by_keyboard_alone(pages: Pages, plane: FakePlane) -> None:
    page = await pages.open()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Call", exact=True)).to_be_focused()
    await page.keyboard.press("Enter")
    session = await plane.session()
    await until(page, "state.call === 'in_call' && state.connected")
    for _ in range(12):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.id === 'say'"):
            break
    await page.keyboard.type("hello")
    await page.keyboard.press("Enter")
    assert await session.text() == "hello"
    await page.get_by_role("button", name="Hang up").focus()
    await page.keyboard.press("Space")
    await until(page, "state.call === 'ended'")
    await expect(page.get_by_role("button", name="Call again")).to_be_focused()
