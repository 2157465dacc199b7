"""A picture of a run, drawn from its records."""

from collections.abc import Sequence

from agentfield_journal.envelope import Envelope


def timeline_svg(envelopes: Sequence[Envelope]) -> str:
    """An SVG picture of the call."""
    raise NotImplementedError
