"""A timeline for a terminal: lanes of characters over an axis in seconds, and what was said below."""

from collections.abc import Mapping, Sequence

from agentfield_journal.envelope import Envelope
from agentfield_rt.timeline.model import BarKind, Lane, Timeline, read_timeline

_NAME_COLUMNS = 10
_COLUMNS_MIN = 40
_GLYPHS = {
    BarKind.SPOKEN: "█",
    BarKind.NOT_UNDERSTOOD: "░",
    BarKind.RAN: "▪",
    BarKind.FAILED: "✗",
    BarKind.PLAYED: "█",
    BarKind.CUT_OFF: "█",
    BarKind.CONNECTING: "·",
    BarKind.CONNECTED: "─",
    BarKind.RESTARTING: "~",
}
_TICKS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
_TICK_COLUMNS_MIN = 8


def timeline_text(
    envelopes: Sequence[Envelope], *, texts: Mapping[str, str] | None = None, columns: int = 100
) -> str:
    """The call in `envelopes`, at most `columns` wide; words only if `texts` has them.

    Raises:
        ReplayMismatch: a record is none of this version's.
    """
    timeline = read_timeline(envelopes, texts)
    width = max(columns, _COLUMNS_MIN) - _NAME_COLUMNS - 1
    lanes = [f"{lane.value:<{_NAME_COLUMNS}} {_lane(timeline, lane, width)}".rstrip() for lane in Lane]
    return "\n".join(
        [*lanes, " " * (_NAME_COLUMNS + 1) + _axis(timeline, width), "", *_happenings(timeline), ""]
    )


def _lane(timeline: Timeline, lane: Lane, width: int) -> str:
    cells = [" "] * width
    scale = (width - 1) / max(timeline.duration_ms, 1.0)
    for bar in sorted((bar for bar in timeline.bars if bar.lane is lane), key=lambda bar: -bar.depth):
        first, last = round(bar.start_ms * scale), round(bar.end_ms * scale)
        cells[first : last + 1] = _GLYPHS[bar.kind] * (last - first + 1)
        if bar.kind is BarKind.CUT_OFF:
            cells[last] = "┃"
    for mark in timeline.marks:
        if mark.lane is lane:
            cells[round(mark.at_ms * scale)] = "●"
    return "".join(cells)


def _axis(timeline: Timeline, width: int) -> str:
    cells = [" "] * width
    seconds = timeline.duration_ms / 1000
    scale = (width - 1) / max(seconds, 0.001)
    step = next((step for step in _TICKS_S if step * scale >= _TICK_COLUMNS_MIN), _TICKS_S[-1])
    for at in range(0, int(seconds) + 1, step):
        label = f"╵{at} s"
        start = round(at * scale)
        if start + len(label) <= width:
            cells[start : start + len(label)] = label
    return "".join(cells).rstrip()


def _happenings(timeline: Timeline) -> list[str]:
    """One line for each thing said, typed, lost or cut off, in order, with the reply times."""
    replies = {
        reply.end_ms: f"after {(reply.end_ms - reply.start_ms) / 1000:.2f} s" for reply in timeline.replies
    }
    lines = [
        (
            bar.start_ms,
            bar.lane,
            ", ".join(filter(None, (bar.label, _quoted(bar.text), replies.get(bar.start_ms)))),
        )
        for bar in timeline.bars
        if bar.lane is not Lane.REASONERS and (bar.lane is not Lane.PROVIDER or bar.label)
    ] + [
        (mark.at_ms, mark.lane, ", ".join(filter(None, (mark.label, _quoted(mark.text)))))
        for mark in timeline.marks
    ]
    lines += [
        (bar.start_ms, bar.lane, f"{'  ' * bar.depth}{bar.label}, {bar.end_ms - bar.start_ms:.0f} ms")
        for bar in timeline.bars
        if bar.lane is Lane.REASONERS
    ]
    lines.sort(key=lambda line: line[0])
    return [
        f"{at_ms / 1000:8.2f} s  {lane.value:<{_NAME_COLUMNS}} {words or 'speaks'}"
        for at_ms, lane, words in lines
    ]


def _quoted(text: str) -> str:
    return f"“{text}”" if text else ""
