"""A picture of a call, drawn from its records: as a model, as SVG, as text. Reads no journal itself."""

from agentfield_rt.timeline.model import Bar, BarKind, Lane, Mark, Reply, Timeline, read_timeline
from agentfield_rt.timeline.svg import timeline_svg
from agentfield_rt.timeline.text import timeline_text

__all__ = [
    "Bar",
    "BarKind",
    "Lane",
    "Mark",
    "Reply",
    "Timeline",
    "read_timeline",
    "timeline_svg",
    "timeline_text",
]
