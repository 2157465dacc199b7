"""The journal panel: order, pairs, filter, bounds."""

import pytest
from playwright.async_api import Page, expect

from tests.page.fake_plane import FakePlane
from tests.page.fake_session import FakeSession
from tests.page.pages import Pages, begin_call, facts, until
from tests.page.script import demo_call

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def in_call(pages: Pages, plane: FakePlane, *, width_px: int = 1280) -> tuple[Page, FakeSession]:
    page = await pages.open("?path=websocket", width_px=width_px)
    return page, await begin_call(page, plane)


async def test_records_stand_in_the_order_of_their_sequence_numbers(pages: Pages, plane: FakePlane) -> None:
    page, session = await in_call(pages, plane)
    await demo_call(session)
    await until(page, "turns.length === 5")
    shown = await page.locator(".record .seq").all_text_contents()
    assert [int(seq) for seq in shown] == list(range(1, len(shown) + 1))
    assert len(shown) > 50


async def test_an_opener_and_its_closer_name_each_other(pages: Pages, plane: FakePlane) -> None:
    page, session = await in_call(pages, plane)
    opener = await session.record(
        "execution_queued", "exec_1", target="voice-support.resolve_turn", input_text="{}"
    )
    await expect(page.locator(f".record[data-seq='{opener}'] .pair")).to_have_text("open")
    closer = await session.record("execution_succeeded", "exec_1", after_ms=34, result_text="{}")
    await expect(page.locator(f".record[data-seq='{opener}'] .pair")).to_have_text(f"→ {closer}")
    await expect(page.locator(f".record[data-seq='{closer}'] .pair")).to_have_text(f"{opener} ← 34 ms")


async def test_what_lies_between_opener_and_closer_is_drawn_inside_their_lane(
    pages: Pages, plane: FakePlane
) -> None:
    page, session = await in_call(pages, plane)
    first = await session.record("turn_started", "turn_1", "turn_1", source="speech", understood=True)
    await session.record("utterance_requested", "utt_1", "turn_1", text_text="Hello.")
    await session.record("utterance_started", None, "turn_1", utterance_id="utt_1")
    await session.record("utterance_played", "utt_1", "turn_1")
    last = await session.record("turn_completed", "turn_1", "turn_1")
    await expect(page.locator(f".record[data-seq='{last}']")).to_be_visible()
    lanes = await page.evaluate(
        """([first, last]) => [...document.querySelectorAll(".record")]
            .filter((row) => row.dataset.seq >= first && row.dataset.seq <= last)
            .map((row) => [...row.querySelectorAll(".lanes.conversation i")].slice(0, 2))
            .map((lanes) => lanes.map((lane) => lane.className))""",
        [first, last],
    )
    assert lanes == [
        ["opens", ""], ["through", "opens"], ["through", "touches"], ["through", "closes"], ["closes", ""],
    ]  # fmt: skip


async def test_an_unknown_outcome_and_a_failure_look_different_from_success(
    pages: Pages, plane: FakePlane
) -> None:
    page, session = await in_call(pages, plane)
    for outcome in ("sent", "send_failed", "send_unknown"):
        await session.record("realtime_input_send_requested", f"op_{outcome}", frame_id="frm_1", media="text")
        await session.record(f"realtime_input_{outcome}", f"op_{outcome}", reason="connection_lost")
    await expect(page.locator(".record.unknown")).to_have_count(1)
    await expect(page.locator(".record.failed")).to_have_count(1)
    colours = await page.evaluate(
        """() => ["done", "failed", "unknown"].map((tone) =>
            getComputedStyle([...document.querySelectorAll(`.record.${tone} .kind`)].at(-1)).color)"""
    )
    assert len(set(colours)) == 3


async def test_the_filter_shows_one_side_of_the_provider_boundary(pages: Pages, plane: FakePlane) -> None:
    page, session = await in_call(pages, plane)
    await demo_call(session)
    await until(page, "turns.length === 5")
    kinds = page.locator(".record .kind")
    await page.get_by_role("radio", name="Provider boundary").check()
    assert all(kind.startswith("realtime_") for kind in await kinds.all_text_contents())
    await page.get_by_role("radio", name="Conversation").check()
    assert not any(kind.startswith("realtime_") for kind in await kinds.all_text_contents())
    await page.get_by_role("radio", name="All").check()
    await expect(kinds).to_have_count(await facts(page, "records.length"))


async def test_the_list_keeps_the_newest_four_hundred_rows(pages: Pages, plane: FakePlane) -> None:
    page, session = await in_call(pages, plane)
    newest = 0
    for number in range(450):
        newest = await session.record("realtime_output_late", response_id=f"resp_{number}", count=1)
    await expect(page.locator(f".record[data-seq='{newest}']")).to_be_visible()
    await expect(page.locator(".record")).to_have_count(400)
    assert await facts(page, "records.length") == newest


async def test_the_list_follows_the_newest_record_until_the_reader_scrolls_up(
    pages: Pages, plane: FakePlane
) -> None:
    page, session = await in_call(pages, plane)
    await demo_call(session)
    await until(page, "turns.length === 5")
    scroller = page.locator("journal-view .scroller")
    at_end = "(box) => box.scrollHeight - box.scrollTop - box.clientHeight < 60"
    assert await scroller.evaluate(at_end)
    await scroller.evaluate("(box) => { box.scrollTop = 0; }")
    await page.wait_for_function("() => document.querySelector('journal-view .scroller').scrollTop === 0")
    await session.record("realtime_output_late", response_id="resp_9", count=1)
    newest = page.get_by_role("button", name="Newest")
    await expect(newest).to_be_visible()
    assert await scroller.evaluate("(box) => box.scrollTop") == 0
    await newest.click()
    assert await scroller.evaluate(at_end)
    await expect(newest).to_be_hidden()


async def test_on_a_phone_the_journal_is_folded_away_until_asked_for(pages: Pages, plane: FakePlane) -> None:
    page, _ = await in_call(pages, plane, width_px=390)
    fold = page.get_by_role("button", name="Journal")
    await expect(fold).to_have_attribute("aria-expanded", "false")
    await expect(page.locator(".records")).to_be_hidden()
    await fold.click()
    await expect(page.locator(".records")).to_be_visible()


async def test_a_broken_event_stream_comes_back_where_it_was_without_repeats(
    pages: Pages, plane: FakePlane
) -> None:
    page, session = await in_call(pages, plane)
    last = await session.record("realtime_output_late", response_id="resp_1", count=1)
    await until(page, f"records.at(-1).seq === {last}")
    await session.drop_readers()
    missed = await session.record("realtime_output_late", response_id="resp_2", count=1)
    await until(page, f"records.at(-1).seq === {missed}")
    assert session.cursors[-1] == last
    seqs = await facts(page, "records.map(({ seq }) => seq)")
    assert seqs == list(range(1, missed + 1))


async def test_a_record_that_is_sent_twice_is_shown_once(pages: Pages, plane: FakePlane) -> None:
    page, session = await in_call(pages, plane)
    last = await session.record("realtime_output_late", response_id="resp_1", count=1)
    await session.repeat_events()
    marker = await session.record("realtime_output_late", response_id="resp_2", count=1)
    await until(page, f"records.at(-1).seq === {marker}")
    assert await facts(page, "records.length") == marker == last + 1
    await expect(page.locator(".record")).to_have_count(marker)


async def test_the_hook_for_tests_cannot_be_written(pages: Pages, plane: FakePlane) -> None:
    page, _ = await in_call(pages, plane)
    await page.evaluate(
        """() => {
            const copies = [agentfield.state, agentfield.records];
            copies[0].call = "forged";
            copies[1][0].kind = "forged";
            copies[1].length = 0;
            try { agentfield.state = {}; } catch {}
            try { window.agentfield = {}; } catch {}
        }"""
    )
    assert await facts(page, "[state.call, records[0].kind]") == ["in_call", "session_started"]
