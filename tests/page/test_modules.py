"""The page's pure modules, called by themselves in the browser."""

from typing import Any

import pytest

from tests.page.pages import Pages

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def run(pages: Pages, body: str, argument: Any = None) -> Any:
    """The answer of a JavaScript function body that may import the page's modules."""
    page = await pages.open()
    return await page.evaluate(f"async (argument) => {{ {body} }}", argument)


async def test_a_text_is_split_where_it_was_heard(pages: Pages) -> None:
    cases = [
        ("one two three", "one two"),
        ("one two three", ""),
        ("one two three", "one two three"),
        ("One, two; three.", "one two"),
        ("", "heard all the same"),
        ("one", "one two three"),
    ]
    split = await run(
        pages,
        """const { splitAtHeard } = await import("/js/model/heard.js");
        return argument.map(([text, heard]) => splitAtHeard(text, heard));""",
        cases,
    )
    assert split == [
        ["one two", " three"],
        ["", "one two three"],
        ["one two three", ""],
        ["One, two;", " three."],
        ["heard all the same", ""],
        ["one", ""],
    ]


async def test_the_target_fits_the_name_and_the_path(pages: Pages) -> None:
    chosen = await run(
        pages,
        """const { chooseTarget } = await import("/js/call/targets.js");
        const targets = [
            { target: "other.voice", transport: "websocket" },
            { target: "desk.turns", transport: "audio_turns" },
            { target: "desk.voice", transport: "webrtc" },
            { target: "desk.phone", transport: "websocket" },
        ];
        return argument.map(([name, path]) => {
            try { return chooseTarget(targets, { name, path }).target; } catch (error) { return error.code; }
        });""",
        [
            [None, None],
            [None, "websocket"],
            ["desk.voice", "websocket"],
            ["desk.phone", None],
            ["desk.turns", None],
            ["nobody.voice", None],
        ],
    )
    assert chosen == ["desk.voice", "other.voice", "desk.phone", "desk.phone", "no_target", "no_target"]


async def test_a_server_with_only_a_websocket_target_is_called_over_it(pages: Pages) -> None:
    chosen = await run(
        pages,
        """const { chooseTarget } = await import("/js/call/targets.js");
        const targets = [{ target: "desk.voice", transport: "websocket" }];
        return chooseTarget(targets, { name: null, path: null }).transport;""",
    )
    assert chosen == "websocket"


RESAMPLE = """
    const { Resampler } = await import("/worklets/resampler.js");
    const convert = (hz, fromHz, toHz, pieceLength) => {
        const resampler = new Resampler(fromHz, toHz);
        const output = [];
        for (let at = 0; at < fromHz; at += pieceLength) {
            const length = Math.min(pieceLength, fromHz - at);
            const sample = (_, index) => Math.sin((2 * Math.PI * hz * (at + index)) / fromHz);
            output.push(...resampler.push(Float32Array.from({ length }, sample)));
        }
        return output;
    };
    const rms = (samples) =>
        Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length);
"""


@pytest.mark.parametrize("from_hz", [44_100, 48_000, 96_000])
async def test_resampling_keeps_speech_and_drops_what_16_khz_cannot_hold(pages: Pages, from_hz: int) -> None:
    length, kept, dropped = await run(
        pages,
        RESAMPLE
        + """const kept = convert(1000, argument, 16000, 128);
        const dropped = convert(11000, argument, 16000, 128);
        return [kept.length, rms(kept.slice(200, -200)), rms(dropped.slice(200, -200))];""",
        from_hz,
    )
    assert length == pytest.approx(16_000, abs=40)
    assert kept == pytest.approx(2**-0.5, rel=0.01)
    assert dropped < 0.005


async def test_resampling_gives_the_same_whatever_the_pieces(pages: Pages) -> None:
    largest = await run(
        pages,
        RESAMPLE
        + """const [whole, pieces] = [convert(440, 24000, 48000, 24000), convert(440, 24000, 48000, 331)];
        const shorter = Math.min(whole.length, pieces.length);
        return Math.max(...whole.slice(0, shorter).map((value, at) => Math.abs(value - pieces[at])));""",
    )
    assert largest < 1e-3


async def test_more_pairs_than_lanes_still_name_each_other(pages: Pages) -> None:
    partners = await run(
        pages,
        """const { Pairs } = await import("/js/model/pairs.js");
        const pairs = new Pairs();
        const ids = Array.from({ length: 9 }, (_, index) => `op_${index}`);
        const record = (kind, op_id, at_ms) => ({ kind, op_id, at_ms, seq: at_ms, data: {} });
        ids.forEach((id, at) => pairs.place(record("execution_queued", id, at + 1)));
        const closers = ids.map((id, at) => pairs.place(record("execution_succeeded", id, at + 10)));
        return closers.map(({ partner }) => partner.record.op_id);""",
    )
    assert partners == [f"op_{index}" for index in range(9)]
