"""A timeline as one SVG picture that needs nothing else: no script, no font, no colour scheme but its own.

A call longer than a strip goes on in the next strip below, so that it stays readable at any length.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from agentfield_journal.envelope import Envelope
from agentfield_rt.timeline.model import Bar, BarKind, Lane, Mark, Timeline, read_timeline

WIDTH = 820
STRIP_MS_MAX = 24_000
"""A call up to this long is one strip."""

STRIP_MS = 20_000
"""Of a longer call, in each strip."""

STRIPS_MAX = 200

_LEFT, _RIGHT, _TOP = 92, 14, 46
_BAR, _ROW, _GAP, _CAPTION, _AXIS = 18, 15, 8, 15, 20
_CHARACTER = 5.8  # about the width of one at 11 px
_NEAR = 16
_Caption = tuple[int, float, str, bool]  # row, x, words, whether they tell of something bad
_LEGEND_ROW = 18
_TICKS_MS = (200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000)

_STYLE = """
svg { --paper:#fff; --ink:#1d2126; --soft:#555b64; --line:#e2dfd8; --caller:#2b54c4; --tint:#c9d6f7;
  --run:#7d4fb3; --agent:#0c7a70; --link:#c9c5bc; --wait:#d8a200; --bad:#b3261e; background:var(--paper) }
@media (prefers-color-scheme: dark) {
  svg { --paper:#181c22; --ink:#e9ebee; --soft:#a4acb7; --line:#2a3038; --caller:#7f9ff5; --tint:#2e4172;
    --run:#b692e0; --agent:#4fc0b0; --link:#59616c; --wait:#e0ab3c; --bad:#ff8a80 } }
text { font:11px system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif; fill:var(--ink) }
.head { font-size:13px; font-weight:600 } .soft { fill:var(--soft) } .right { text-anchor:end }
.middle { text-anchor:middle } .paper { fill:var(--paper) } .grid { stroke:var(--line) }
.spoken,.typed { fill:var(--caller) }
.not_understood { fill:var(--tint); stroke:var(--caller); stroke-dasharray:3 2 }
.ran { fill:var(--run) } .played,.cut_off { fill:var(--agent) } .connected { fill:var(--link) }
.connecting { fill:var(--link); opacity:.5 } .restarting { fill:var(--wait) } .failed,.bad { fill:var(--bad) }
.cut { stroke:var(--bad); stroke-width:2.5 } .reply { stroke:var(--soft); fill:none }
"""


@dataclass(frozen=True, slots=True)
class _Strip:
    """A part of the call and where it is drawn."""

    start_ms: float
    end_ms: float
    top: float
    rows: int

    @property
    def scale(self) -> float:
        return (WIDTH - _LEFT - _RIGHT) / (self.end_ms - self.start_ms)

    def x(self, at_ms: float) -> float:
        return _LEFT + (min(max(at_ms, self.start_ms), self.end_ms) - self.start_ms) * self.scale

    def y(self, lane: Lane) -> float:
        """The top of a lane's bars."""
        caller = self.top + 6
        reasoners = caller + _BAR + _CAPTION + _GAP
        agent = reasoners + self.rows * _ROW + _GAP + 12
        provider = agent + _BAR + _CAPTION + _GAP
        return {"caller": caller, "reasoners": reasoners, "agent": agent, "provider": provider}[lane]

    @property
    def bottom(self) -> float:
        return self.y(Lane.PROVIDER) + 8 + _CAPTION + 4

    def overlaps(self, start_ms: float, end_ms: float) -> bool:
        return start_ms < self.end_ms and (end_ms > self.start_ms or start_ms == end_ms == self.start_ms)


def timeline_svg(envelopes: Sequence[Envelope], *, texts: Mapping[str, str] | None = None) -> str:
    """An SVG picture of the call in `envelopes`, the records of one run.

    Args:
        texts: Content by its reference. Without it no word that was said is in the picture.

    Raises:
        ReplayMismatch: a record is none of this version's.
    """
    timeline = read_timeline(envelopes, texts)
    strips = list(_strips(timeline))
    height = strips[-1].bottom + _AXIS + 30 + _LEGEND_ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" aria-labelledby="title">',
        f'<title id="title">{escape(_title(timeline))}</title><style>{_STYLE}</style>',
        f'<rect class="paper" width="{WIDTH}" height="{height:.0f}"/>',
        f'<text class="head" x="14" y="20">{escape(_title(timeline))}</text>',
        f'<text class="soft" x="14" y="36">{escape(_subtitle(timeline))}</text>',
    ]
    for strip in strips:
        parts += _draw(strip, timeline)
    parts += _legend(timeline, height - 14 - _LEGEND_ROW)
    return "\n".join([*parts, "</svg>", ""])


def _strips(timeline: Timeline) -> Iterator[_Strip]:
    duration_ms = max(timeline.duration_ms + 1, 1_000.0)  # so that the last record is in the last strip
    length_ms = duration_ms if duration_ms <= STRIP_MS_MAX else STRIP_MS
    count = min(math.ceil(duration_ms / length_ms), STRIPS_MAX)
    rows = 1 + max((bar.depth for bar in timeline.bars), default=0)
    top = float(_TOP)
    for number in range(count):
        strip = _Strip(number * length_ms, (number + 1) * length_ms, top, rows)
        top = strip.bottom + _AXIS + 8
        yield strip


def _draw(strip: _Strip, timeline: Timeline) -> Iterator[str]:
    yield from _axis(strip)
    for lane in Lane:
        middle = strip.y(lane) + (8 if lane is Lane.PROVIDER else 13)
        yield f'<text class="soft right" x="{_LEFT - 12}" y="{middle:.1f}">{lane.value}</text>'
        bars = [bar for bar in timeline.bars if bar.lane is lane and strip.overlaps(bar.start_ms, bar.end_ms)]
        marks = [
            mark for mark in timeline.marks if mark.lane is lane and strip.overlaps(mark.at_ms, mark.at_ms)
        ]
        for bar in bars:
            yield from _bar(strip, bar)
        for mark in marks:
            yield _mark(strip, mark)
        yield from _captions(strip, lane, bars, marks)
    for reply in timeline.replies:
        if strip.start_ms <= reply.end_ms < strip.end_ms:
            yield from _reply(strip, reply.start_ms, reply.end_ms)


def _axis(strip: _Strip) -> Iterator[str]:
    step_ms = next((step for step in _TICKS_MS if step * strip.scale >= 44), _TICKS_MS[-1])
    at_ms = math.ceil(strip.start_ms / step_ms) * step_ms
    while at_ms <= strip.end_ms:
        x = strip.x(at_ms)
        seconds = f"{at_ms / 1000:g} s"
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{strip.top:.1f}" y2="{strip.bottom:.1f}"/>'
        if x < WIDTH - 22:
            yield f'<text class="soft middle" x="{x:.1f}" y="{strip.bottom + 13:.1f}">{seconds}</text>'
        at_ms += step_ms


def _bar(strip: _Strip, bar: Bar) -> Iterator[str]:
    x, end = strip.x(bar.start_ms), strip.x(bar.end_ms)
    width = max(end - x, 3.0)
    y, height, radius = strip.y(bar.lane), _BAR, 4
    if bar.lane is Lane.REASONERS:
        y, height, radius = y + bar.depth * _ROW + 2, _ROW - 5, 2
    elif bar.lane is Lane.PROVIDER:
        height, radius = 7, 2
    described = escape(
        " ".join(filter(None, (f"{_seconds(bar.start_ms)} to {_seconds(bar.end_ms)}", bar.label)))
    )
    yield (
        f'<rect class="{bar.kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" '
        f'rx="{radius}"><title>{described}</title></rect>'
    )
    if bar.kind is BarKind.CUT_OFF and bar.end_ms <= strip.end_ms:
        yield f'<path class="cut" d="M{end:.1f} {y - 4:.1f}v{height + 8}"/>'


def _mark(strip: _Strip, mark: Mark) -> str:
    x, y = strip.x(mark.at_ms), strip.y(mark.lane)
    name = "typed" if mark.lane is Lane.CALLER else "bad"
    middle = y + (3.5 if mark.lane is Lane.PROVIDER else _BAR / 2)
    title = f"<title>{escape(mark.label)}</title>"
    return f'<circle class="{name}" cx="{x:.1f}" cy="{middle:.1f}" r="5">{title}</circle>'


def _captions(strip: _Strip, lane: Lane, bars: Iterable[Bar], marks: Iterable[Mark]) -> Iterator[str]:
    """Words under bars (beside them, for reasoners), each as long as there is room before the next."""
    captions: list[_Caption] = []
    for bar in bars:
        bad = bar.kind in (BarKind.CUT_OFF, BarKind.FAILED, BarKind.NOT_UNDERSTOOD)
        words = bar.label if lane is Lane.REASONERS else _caption(bar.label, bar.text)
        beside = max(strip.x(bar.end_ms), strip.x(bar.start_ms) + 3) + 5
        if bar.start_ms >= strip.start_ms:
            captions.append(
                (bar.depth, beside if lane is Lane.REASONERS else strip.x(bar.start_ms), words, bad)
            )
    captions += [
        (0, strip.x(mark.at_ms) - 5, _caption(mark.label, mark.text), lane is not Lane.CALLER)
        for mark in marks
    ]
    together = list(_joined(sorted(caption for caption in captions if caption[2])))
    for number, (row, x, words, bad) in enumerate(together):
        following = next(
            (after[1] for after in together[number + 1 :] if after[0] == row), WIDTH - _RIGHT + 6.0
        )
        if fitted := _fitted(words, following - x - 8):
            below = {Lane.REASONERS: row * _ROW + 11, Lane.PROVIDER: 7 + 12}.get(lane, _BAR + 12)
            name = "bad" if bad else "soft"
            yield f'<text class="{name}" x="{x:.1f}" y="{strip.y(lane) + below:.1f}">{escape(fitted)}</text>'


def _joined(captions: Iterable[_Caption]) -> Iterator[_Caption]:
    """One caption where several would begin at about the same place."""
    held: _Caption | None = None
    for caption in captions:
        if held is not None and held[0] == caption[0] and caption[1] - held[1] < _NEAR:
            held = (held[0], held[1], f"{held[2]}, {caption[2]}", held[3] or caption[3])
            continue
        if held is not None:
            yield held
        held = caption
    if held is not None:
        yield held


def _reply(strip: _Strip, start_ms: float, end_ms: float) -> Iterator[str]:
    """A bracket over the silence, above the answer."""
    x, end, y = strip.x(start_ms), strip.x(end_ms), strip.y(Lane.AGENT) - 5
    yield f'<path class="reply" d="M{x:.1f} {y - 3:.1f}v6M{x:.1f} {y:.1f}H{end:.1f}v-3v6"/>'
    label = f"{(end_ms - start_ms) / 1000:.2f} s"
    yield f'<text class="soft" x="{end + 5:.1f}" y="{y + 3:.1f}">{label}</text>'


def _legend(timeline: Timeline, y: float) -> Iterator[str]:
    entries = [("spoken", "caller speaks"), ("ran", "reasoner runs"), ("played", "agent speaks")]
    kinds = {bar.kind for bar in timeline.bars}
    optional = {
        BarKind.NOT_UNDERSTOOD: "not understood",
        BarKind.CUT_OFF: "cut off by the caller",
        BarKind.FAILED: "failed",
        BarKind.CONNECTED: "connected",
        BarKind.RESTARTING: "new connection",
    }
    entries += [(kind.value, words) for kind, words in optional.items() if kind in kinds]
    if timeline.replies:
        entries.append(("reply", "reply time"))
    x = 14.0
    for kind, words in entries:
        if x + 15 + len(words) * _CHARACTER > WIDTH:
            x, y = 14.0, y + _LEGEND_ROW
        yield _swatch(kind, x, y)
        yield f'<text class="soft" x="{x + 17:.1f}" y="{y:.1f}">{words}</text>'
        x += 17 + len(words) * _CHARACTER + 12


def _swatch(kind: str, x: float, y: float) -> str:
    match kind:
        case BarKind.CUT_OFF:
            return f'<path class="cut" d="M{x + 6:.1f} {y - 10:.1f}v12"/>'
        case "reply":
            return f'<path class="reply" d="M{x:.1f} {y - 7:.1f}v6m0 -3h12v-3v6"/>'
        case _:
            return f'<rect class="{kind}" x="{x:.1f}" y="{y - 9:.1f}" width="10" height="10" rx="2"/>'


def _caption(label: str, text: str) -> str:
    return ": ".join(filter(None, (label, f"“{text}”" if text else "")))


def _fitted(words: str, width: float) -> str:
    characters = int(width / _CHARACTER)
    if len(words) <= characters:
        return words
    return f"{words[: characters - 1].rstrip()}…" if characters >= 5 else ""


def _seconds(at_ms: float) -> str:
    return f"{at_ms / 1000:.2f} s"


def _title(timeline: Timeline) -> str:
    name = timeline.target or "A run without a session"
    return f"{name} · {timeline.duration_ms / 1000:.1f} s"


def _subtitle(timeline: Timeline) -> str:
    at = datetime.fromtimestamp(timeline.started_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    ended = f"ended: {timeline.ended.replace('_', ' ')}" if timeline.ended else "still going on"
    return " · ".join(filter(None, (timeline.run_id, timeline.pair, at, ended)))
