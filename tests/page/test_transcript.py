"""What the transcript shows of records and live events."""

import pytest
from playwright.async_api import Page, expect

from tests.page.fake_plane import FakePlane
from tests.page.fake_session import FakeSession
from tests.page.pages import Pages, begin_call, facts, until
from tests.page.script import ask, cut_in, demo_call, execute, finish_saying, start_saying

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def in_call(pages: Pages, plane: FakePlane) -> tuple[Page, FakeSession]:
    page = await pages.open("?path=websocket")
    return page, await begin_call(page, plane)


async def test_partial_words_are_provisional_until_the_turn_comes(pages: Pages, plane: FakePlane) -> None:
    page, session = await in_call(pages, plane)
    await session.live("speech_started", item_id="item_1")
    await session.live("partial", item_id="item_1", text="where is")
    provisional = page.locator(".provisional")
    await expect(provisional).to_contain_text("where is")
    assert await facts(page, "turns") == []
    await session.live("partial", item_id="item_1", text="where is order")
    await expect(provisional).to_contain_text("where is order")
    await session.live("speech_stopped", item_id="item_1")
    await session.record(
        "turn_started", "turn_1", "turn_1", source="speech", understood=True, text_text="where is order four"
    )
    await expect(page.get_by_role("log")).to_contain_text("where is order four")
    await expect(provisional).to_be_empty()


async def test_words_of_the_next_turn_survive_the_turn_before(pages: Pages, plane: FakePlane) -> None:
    page, session = await in_call(pages, plane)
    await session.live("speech_started", item_id="item_1")
    await session.live("partial", item_id="item_1", text="yes")
    await session.live("speech_stopped", item_id="item_1")
    await session.live("speech_started", item_id="item_2")
    await session.live("partial", item_id="item_2", text="and please")
    await session.record(
        "turn_started", "turn_1", "turn_1", source="speech", understood=True, text_text="yes"
    )
    await until(page, "turns.length === 1")
    await expect(page.locator(".provisional .words")).to_have_text(["and please …"])


async def test_a_sound_that_came_to_nothing_leaves_nothing_behind(pages: Pages, plane: FakePlane) -> None:
    page, session = await in_call(pages, plane)
    await session.live("speech_started", item_id="item_1")
    await expect(page.locator(".provisional .words")).to_have_text(["…"])
    await session.live("speech_stopped", item_id="item_1")
    await expect(page.locator(".provisional")).to_be_empty()


async def test_a_turn_that_was_not_understood_says_so(pages: Pages, plane: FakePlane) -> None:
    page, session = await in_call(pages, plane)
    await session.record("turn_started", "turn_1", "turn_1", source="speech", understood=False)
    await expect(page.get_by_role("log")).to_contain_text("not understood")


async def test_the_agents_words_light_up_as_they_are_said(pages: Pages, plane: FakePlane) -> None:
    page, session = await in_call(pages, plane)
    utterance = await start_saying(session, None, "Order four is in customs.")
    await session.live("saying", utterance_id=utterance, text="Order four")
    await expect(page.locator(".agent .heard")).to_have_text("Order four")
    await expect(page.locator(".agent .to-come")).to_have_text(" is in customs.")
    await finish_saying(session, utterance, None, "Order four is in customs.")
    await expect(page.locator(".agent .words")).to_have_text("Order four is in customs.")
    await expect(page.locator(".agent .to-come")).to_have_count(0)


async def test_the_mark_stands_exactly_where_the_user_cut_in(pages: Pages, plane: FakePlane) -> None:
    page, session = await in_call(pages, plane)
    await ask(session, "turn_1", "tell me a long story")
    utterance = await start_saying(session, "turn_1", "Once upon a time there was a parcel.")
    await cut_in(session, utterance, "turn_1", heard="Once upon a time", heard_ms=1240)
    line = page.locator(".agent .words")
    await expect(line).to_have_text("Once upon a timeyou cut in after 1.2 s there was a parcel.")
    await expect(line.locator(".heard")).to_have_text("Once upon a time")
    await expect(line.locator("s")).to_have_text("there was a parcel.")
    assert await facts(page, "turns[0].utterances[0].status") == "interrupted"
    assert await facts(page, "turns[0].utterances[0].heard_ms") == 1240


async def test_an_answer_cut_off_by_the_end_of_the_call_is_not_blamed_on_the_user(
    pages: Pages, plane: FakePlane
) -> None:
    page, session = await in_call(pages, plane)
    await ask(session, "turn_1", "tell me a long story")
    utterance = await start_saying(session, "turn_1", "Once upon a time.")
    await cut_in(session, utterance, "turn_1", heard="Once", heard_ms=300)
    await expect(page.locator("mark")).to_have_text("you cut in after 0.3 s")
    await session.record("session_ended", reason="normal")
    await expect(page.locator("mark")).to_have_text("the call ended after 0.3 s")


async def test_an_answer_that_was_never_begun_says_why(pages: Pages, plane: FakePlane) -> None:
    page, session = await in_call(pages, plane)
    await session.record("utterance_requested", "utt_1", text_text="One moment please.")
    await session.record("utterance_skipped", "utt_1", reason="superseded")
    await expect(page.get_by_role("log")).to_contain_text("not said: superseded")


async def test_reasoners_are_nested_as_they_called_each_other(pages: Pages, plane: FakePlane) -> None:
    page, session = await in_call(pages, plane)
    await ask(session, "turn_1", "where is order four")
    await execute(session, "turn_1", intent="order_status", order=4)
    tree = page.get_by_role("group", name="What ran")
    await expect(tree.locator(":scope > ul > li > details > summary code")).to_have_text(
        ["voice-support.resolve_turn"]
    )
    await expect(tree.locator("ul ul summary code")).to_have_text(["voice-support.lookup_order"])
    await expect(tree.locator("ul ul .took")).to_have_text("9 ms")
    understood = page.get_by_role("group", name="What was understood")
    await expect(understood.locator(".badge")).to_have_text(["intent order status", "order 4"])


async def test_what_a_reasoner_got_and_gave_can_be_unfolded_and_stays_so(
    pages: Pages, plane: FakePlane
) -> None:
    page, session = await in_call(pages, plane)
    await ask(session, "turn_1", "where is order four")
    await session.record(
        "execution_queued", "exec_1", "turn_1", target="voice-support.resolve_turn", input_text='{"a": 1}'
    )
    await page.locator("summary", has_text="resolve_turn").click()
    await expect(page.locator("details pre")).to_have_text(['{\n "a": 1\n}'])
    await session.record("execution_succeeded", "exec_1", "turn_1", result_text='"fine"')
    await expect(page.locator("details pre")).to_have_text(['{\n "a": 1\n}', '"fine"'])


async def test_a_failed_reasoner_and_a_failed_turn_are_named(pages: Pages, plane: FakePlane) -> None:
    page, session = await in_call(pages, plane)
    await ask(session, "turn_1", "where is order four")
    await session.record(
        "execution_queued", "exec_1", "turn_1", target="voice-support.resolve_turn", input_text="{}"
    )
    await session.record("execution_failed", "exec_1", "turn_1", reason="handler_error")
    await session.record("turn_failed", "turn_1", "turn_1", reason="handler_error")
    await expect(page.locator("summary .badge")).to_have_text("failed: handler error")
    await expect(page.get_by_role("log")).to_contain_text("This turn failed: handler error.")


async def test_the_reply_time_counts_from_the_end_of_speech_to_the_first_sound(
    pages: Pages, plane: FakePlane
) -> None:
    page, session = await in_call(pages, plane)
    spoken_until_ns = int(session.clock_ms * 1_000_000)
    await session.record(
        "turn_started", "turn_1", "turn_1", after_ms=340, source="speech", understood=True, text_text="hello",
        spoken_until_ns=spoken_until_ns,
    )  # fmt: skip
    await session.record("utterance_requested", "utt_1", "turn_1", after_ms=20, text_text="Hello.")
    await session.record("utterance_started", None, "turn_1", after_ms=62, utterance_id="utt_1")
    await session.record("utterance_requested", "utt_2", "turn_1", text_text="How can I help?")
    await session.record("utterance_started", None, "turn_1", after_ms=900, utterance_id="utt_2")
    await expect(page.get_by_text("reply in 422 ms")).to_have_count(1)
    assert await facts(page, "turns[0].reply_ms") == 422


async def test_a_typed_turn_has_no_reply_time(pages: Pages, plane: FakePlane) -> None:
    page, session = await in_call(pages, plane)
    await ask(session, "turn_1", "where is order four", source="text")
    await start_saying(session, "turn_1", "In customs.")
    await until(page, "turns[0]?.utterances[0]?.status === 'speaking'")
    assert await facts(page, "turns[0].reply_ms") is None


async def test_what_is_said_is_never_taken_for_markup(pages: Pages, plane: FakePlane) -> None:
    page, session = await in_call(pages, plane)
    hostile = "<img src=x onerror=document.title='owned'><b>bold</b>"
    await session.live("speech_started", item_id="item_1")
    await session.live("partial", item_id="item_1", text=hostile)
    await session.record(
        "turn_started", "turn_1", "turn_1", source="text", understood=True, text_text=hostile
    )
    await session.record("execution_queued", "exec_1", "turn_1", target=hostile, input_text=hostile)
    await session.record("utterance_requested", "utt_1", "turn_1", text_text=hostile)
    await until(page, "turns[0]?.utterances.length === 1")
    await expect(page.locator(".line.user .words", has_text="<b>bold</b>").first).to_be_visible()
    assert (
        await page.locator("live-transcript img, live-transcript b, journal-view img, journal-view b").count()
        == 0
    )
    assert await page.title() == "In call: Order desk"


async def test_a_whole_call_reads_in_order(pages: Pages, plane: FakePlane) -> None:
    page, session = await in_call(pages, plane)
    await demo_call(session)
    await until(page, "turns.length === 5 && turns[4].utterances[0]?.said")
    shown = await facts(page, "turns.map(({ source, understood, status }) => [source, understood, status])")
    assert shown == [
        ["agent", True, "open"], ["speech", True, "completed"], ["speech", True, "completed"],
        ["speech", False, "completed"], ["speech", True, "open"],
    ]  # fmt: skip
