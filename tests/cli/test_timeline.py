"""The picture of a call. The golden files were looked at; `TIMELINE_REDRAW=1` writes them anew."""

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from agentfield_rt.timeline import BarKind, Lane, read_timeline, timeline_svg, timeline_text
from tests.cli.stories import STORY, TEXTS, eventful_call

GOLDEN = Path(__file__).parent / "golden"

pytestmark = pytest.mark.asyncio


def assert_as_golden(name: str, drawn: str) -> None:
    path = GOLDEN / name
    if os.environ.get("TIMELINE_REDRAW"):
        path.write_text(drawn, encoding="utf-8")
    assert drawn == path.read_text(encoding="utf-8")


async def test_the_picture_is_the_one_we_looked_at() -> None:
    assert_as_golden("call.svg", timeline_svg(await eventful_call(), texts=TEXTS))


async def test_the_text_is_the_one_we_looked_at() -> None:
    assert_as_golden("call.txt", timeline_text(await eventful_call(), texts=TEXTS, columns=100))


async def test_without_texts_no_word_that_was_said_is_in_the_picture() -> None:
    call = await eventful_call()
    drawn = timeline_svg(call) + timeline_text(call)
    assert "ref." not in drawn
    for word in ("where is", "customs", "story", "Once upon", "parcel", "What can"):
        assert word not in drawn


async def test_texts_cannot_break_the_picture_and_it_runs_no_script() -> None:
    drawn = timeline_svg(await eventful_call(), texts=dict.fromkeys(TEXTS, "<script>alert(1)</script>"))
    root = ElementTree.fromstring(drawn)
    assert not [element for element in root.iter() if element.tag.endswith("script")]
    assert "prefers-color-scheme" in drawn


async def test_the_model_has_turns_nested_reasoners_cut_offs_restarts_and_reply_times() -> None:
    timeline = read_timeline(await eventful_call())
    by_lane = {lane: [bar for bar in timeline.bars if bar.lane is lane] for lane in Lane}
    kinds = {lane: [bar.kind for bar in bars] for lane, bars in by_lane.items()}
    assert kinds[Lane.CALLER] == [BarKind.SPOKEN, BarKind.SPOKEN, BarKind.NOT_UNDERSTOOD]
    assert [bar.depth for bar in by_lane[Lane.REASONERS]] == [0, 1, 0]
    assert kinds[Lane.REASONERS][-1] is BarKind.FAILED
    assert kinds[Lane.AGENT] == [BarKind.PLAYED, BarKind.CUT_OFF]
    assert kinds[Lane.PROVIDER] == [
        BarKind.CONNECTING,
        BarKind.CONNECTED,
        BarKind.RESTARTING,
        BarKind.CONNECTED,
    ]
    assert "12 frames waited" in by_lane[Lane.PROVIDER][2].label
    assert [round(reply.end_ms - reply.start_ms) for reply in timeline.replies] == [550, 400]
    assert (timeline.target, timeline.ended) == ("voice-support.voice", "normal")


@pytest.mark.parametrize("count", range(len(STORY) + 1))
async def test_a_call_can_be_drawn_at_any_moment_of_it(count: int) -> None:
    begun = (await eventful_call())[:count]
    ElementTree.fromstring(timeline_svg(begun, texts=TEXTS))
    timeline = read_timeline(begun)
    assert all(0 <= bar.start_ms <= bar.end_ms <= timeline.duration_ms for bar in timeline.bars)
    assert all(len(line) <= 100 for line in timeline_text(begun).splitlines()[:5])
