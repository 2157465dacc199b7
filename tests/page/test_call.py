"""The call button: what a person sees from the first press to the end, and when something goes wrong."""

import pytest
from playwright.async_api import expect

from tests.page.fake_plane import FakePlane
from tests.page.pages import Pages, begin_call, facts, press_call, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_call_connects_over_webrtc_and_offers_to_hang_up(pages: Pages, plane: FakePlane) -> None:
    page = await pages.open()
    session = await begin_call(page, plane)
    await expect(page.get_by_role("button", name="Hang up")).to_be_visible()
    await expect(page.get_by_role("status")).to_have_text("In call over WebRTC")
    assert "a=sendrecv" in session.offers[0]
    assert plane.peers[0].channel_labels == ["oai-events"]
    assert await facts(page, "[state.path, state.microphone, state.session_id, state.run_id]") == [
        "webrtc", "on", "ses_1", "run_1",
    ]  # fmt: skip


async def test_a_caller_who_is_recorded_is_told_so(pages: Pages, plane: FakePlane) -> None:
    plane.records = True
    page = await pages.open()
    await begin_call(page, plane)
    await expect(page.get_by_role("status")).to_have_text("In call over WebRTC. This call is recorded.")


async def test_the_offer_is_sent_complete_with_its_candidates(pages: Pages, plane: FakePlane) -> None:
    session = await begin_call(await pages.open(), plane)
    assert "a=candidate" in session.offers[0]


async def test_hanging_up_shows_the_check_of_the_journal_and_the_call_as_a_picture(
    pages: Pages, plane: FakePlane
) -> None:
    page = await pages.open()
    session = await begin_call(page, plane)
    await page.get_by_role("button", name="Hang up").click()
    assert await session.closed == "normal"
    await expect(page.get_by_text("214 records, chain intact")).to_be_visible()
    picture = page.get_by_role("img", name="Timeline of the call")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 0
    await expect(page.get_by_role("button", name="Call again")).to_be_visible()
    assert await facts(page, "[state.call, state.ended_reason, state.verify.ok]") == ["ended", "normal", True]


async def test_as_many_records_are_listed_as_were_checked(pages: Pages, plane: FakePlane) -> None:
    """The run's last record is written when the events of its session have ended."""
    plane.seals = True
    page = await pages.open()
    session = await begin_call(page, plane)
    await page.get_by_role("button", name="Hang up").click()
    await until(page, "state.verify")
    checked = session.last_seq + 1
    await expect(page.get_by_text(f"{checked} records, chain intact")).to_be_visible()
    await expect(page.get_by_text(f"{checked} records", exact=True)).to_be_visible()
    assert await facts(page, "[records.at(-1).seq, records.at(-1).kind]") == [checked, "run_completed"]


async def test_a_broken_chain_is_said_as_plainly_as_an_intact_one(pages: Pages, plane: FakePlane) -> None:
    plane.chain_is_broken = True
    page = await pages.open()
    await begin_call(page, plane)
    await page.get_by_role("button", name="Hang up").click()
    await expect(page.get_by_text("12 records, the chain is broken")).to_be_visible()


async def test_an_end_from_the_other_side_ends_the_call(pages: Pages, plane: FakePlane) -> None:
    page = await pages.open()
    session = await begin_call(page, plane)
    await session.record("session_ended", reason="provider_failure")
    await session.end()
    await until(page, "state.call === 'ended'")
    await expect(page.get_by_text("ended because the provider failed")).to_be_visible()


async def test_a_second_call_starts_with_an_empty_page(pages: Pages, plane: FakePlane) -> None:
    page = await pages.open()
    session = await begin_call(page, plane)
    await session.record("utterance_requested", "utt_1", text_text="Hello from the first call")
    await expect(page.get_by_text("Hello from the first call").first).to_be_visible()
    await page.get_by_role("button", name="Hang up").click()
    await until(page, "state.call === 'ended'")
    await page.get_by_role("button", name="Call again").click()
    await plane.session()
    await until(page, "state.call === 'in_call' && state.session_id === 'ses_2'")
    await expect(page.get_by_text("Hello from the first call")).to_have_count(0)
    assert await facts(page, "records.every((record) => record.session_id === 'ses_2')")


async def test_hanging_up_while_connecting_closes_the_session(pages: Pages, plane: FakePlane) -> None:
    plane.answer_is_dead = True
    page = await pages.open()
    await press_call(page)
    session = await plane.session()
    await until(page, "state.call === 'connecting' && state.session_id")
    await page.get_by_role("button", name="Hang up").click()
    assert await session.closed == "normal"
    await until(page, "state.call === 'ended'")


async def test_muting_silences_the_microphone_and_says_so(pages: Pages, plane: FakePlane) -> None:
    page = await pages.open()
    await begin_call(page, plane)
    await page.get_by_role("button", name="Mute", exact=True).click()
    await expect(page.get_by_text("microphone muted")).to_be_visible()
    await page.get_by_role("button", name="Unmute").click()
    await expect(page.get_by_text("microphone on")).to_be_visible()


async def test_both_meters_move_with_the_sound(pages: Pages, plane: FakePlane) -> None:
    page = await pages.open()
    await begin_call(page, plane)
    for side in ("You", "Agent"):  # looked at in every frame: the microphone only beeps
        await page.wait_for_function(
            "name => document.querySelector(`[aria-label='${name}']`).getAttribute('aria-valuenow') !== '0'",
            arg=f"{side}: loudness",
        )


async def test_a_denied_microphone_still_leaves_typing(pages: Pages, plane: FakePlane) -> None:
    page = await pages.open(microphone=False)
    await press_call(page)
    await expect(page.get_by_role("alert")).to_contain_text("The microphone is blocked.")
    await expect(page.get_by_role("alert")).to_contain_text("You can still type.")
    assert plane.sessions == []
    await page.get_by_role("button", name="Call without a microphone").click()
    session = await plane.session()
    await until(page, "state.call === 'in_call'")
    assert "a=recvonly" in session.offers[0]


async def test_a_missing_microphone_is_told_from_a_denied_one(pages: Pages) -> None:
    missing = """navigator.mediaDevices.getUserMedia = async () => {
        throw new DOMException("", "NotFoundError");
    };"""
    page = await pages.open(script=missing)
    await press_call(page)
    await expect(page.get_by_role("alert")).to_contain_text("No microphone was found.")
    assert await facts(page, "state.microphone") == "missing"


async def test_a_microphone_that_goes_away_is_noticed(pages: Pages, plane: FakePlane) -> None:
    keep = """
        const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (wish) => (window.opened = await open(wish));
    """
    page = await pages.open(script=keep)
    await begin_call(page, plane)
    await page.evaluate("opened.getAudioTracks()[0].dispatchEvent(new Event('ended'))")
    await expect(page.get_by_text("microphone missing")).to_be_visible()


@pytest.mark.parametrize(
    ("refusal", "title"),
    [
        ((503, "20 sessions are open; try again later"), "The server has no room for another call."),
        ((400, "voice-support.voice: no adapter"), "The server refused."),
    ],
)
async def test_a_refused_start_says_why_in_the_servers_words(
    pages: Pages, plane: FakePlane, refusal: tuple[int, str], title: str
) -> None:
    plane.start_refusal = refusal
    page = await pages.open()
    await press_call(page)
    await expect(page.get_by_role("alert")).to_contain_text(title)
    await expect(page.get_by_role("alert")).to_contain_text(refusal[1])


async def test_with_nothing_to_call_the_page_says_what_to_start(pages: Pages, plane: FakePlane) -> None:
    plane.targets = []
    page = await pages.open()
    await press_call(page)
    await expect(page.get_by_role("alert")).to_contain_text("There is nothing to call here.")


async def test_webrtc_that_never_connects_is_given_up_after_ten_seconds_for_the_websocket_path(
    pages: Pages, plane: FakePlane
) -> None:
    plane.answer_is_dead = True
    page = await pages.open()
    await page.clock.install()
    await press_call(page)
    session = await plane.session()
    await until(page, "state.connected && state.call === 'connecting'")
    # The bound starts once the answer is in; before that nothing waits on the clock.
    while await facts(page, "state.call") == "connecting":
        await page.clock.run_for(2_500)
    await expect(page.get_by_role("alert")).to_contain_text("WebRTC did not connect within ten seconds.")
    await session.closed
    await page.clock.resume()
    await page.get_by_role("button", name="Use the websocket path").click()
    second = await plane.session()
    assert second.target["transport"] == "websocket"
    await until(page, "state.call === 'in_call' && state.path === 'websocket'")


async def test_an_offer_that_is_never_answered_leads_to_the_websocket_path(
    pages: Pages, plane: FakePlane
) -> None:
    hurry = """const timeout = AbortSignal.timeout.bind(AbortSignal);
        AbortSignal.timeout = (ms) => timeout(ms / 20);"""
    plane.answers = False
    page = await pages.open(script=hurry)
    await press_call(page)
    await expect(page.get_by_role("alert")).to_contain_text("WebRTC did not connect within ten seconds.")
    await expect(page.get_by_role("button", name="Use the websocket path")).to_be_visible()


async def test_hanging_up_ends_the_call_even_when_the_last_events_never_come(
    pages: Pages, plane: FakePlane
) -> None:
    plane.ends_on_close = False
    page = await pages.open()
    await page.clock.install()
    session = await begin_call(page, plane)
    await page.get_by_role("button", name="Hang up").click()
    await session.closed
    while await facts(page, "state.call") == "in_call":
        await page.clock.run_for(500)
    assert await facts(page, "state.call") == "ended"


async def test_a_server_that_is_gone_ends_the_call_with_a_reason(pages: Pages, plane: FakePlane) -> None:
    page = await pages.open()
    await page.clock.install()
    session = await begin_call(page, plane)
    plane.dead = True
    await session.drop_readers()
    while await facts(page, "state.call") == "in_call":
        await page.clock.run_for(1_000)
    await expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")
    assert await facts(page, "state.ended_at_ms") >= await facts(page, "state.started_at_ms")
    plane.dead = False
    await page.get_by_role("button", name="Call again").click()
    await plane.session()
    await until(page, "state.call === 'in_call'")


async def test_a_server_that_is_away_for_a_moment_is_told_of_until_it_is_back(
    pages: Pages, plane: FakePlane
) -> None:
    page = await pages.open()
    await page.clock.install()
    session = await begin_call(page, plane)
    plane.dead = True
    await session.drop_readers()
    while not await facts(page, "state.notice"):
        await page.clock.run_for(100)
    await expect(page.get_by_role("alert")).to_have_text("The server does not answer. Trying to reach it …")
    plane.dead = False
    while await facts(page, "state.notice"):
        await page.clock.run_for(500)
    assert await facts(page, "state.call") == "in_call"


async def test_leaving_the_page_closes_the_session(pages: Pages, plane: FakePlane) -> None:
    page = await pages.open()
    session = await begin_call(page, plane)
    await page.goto("about:blank")
    assert await session.closed == "caller_gone"


async def test_the_address_can_name_the_target_and_start_the_call(pages: Pages, plane: FakePlane) -> None:
    page = await pages.open("?target=voice-support.voice-websocket&autostart=1")
    session = await plane.session()
    assert session.target["target"] == "voice-support.voice-websocket"
    await until(page, "state.call === 'in_call'")


async def test_an_unknown_target_in_the_address_is_named(pages: Pages) -> None:
    page = await pages.open("?target=voice-support.nobody&autostart=1")
    await expect(page.get_by_role("alert")).to_contain_text("The server does not offer voice-support.nobody.")
