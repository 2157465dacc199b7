"""A session as it is watched or replayed: a line for what happened, with what was said. Asks nobody."""

from collections.abc import Mapping
from typing import Any

from agentfield_rt.cli.journal_output import coloured
from agentfield_rt.cli.journal_rows import ROUTINE
from agentfield_rt.cli.printing import literal
from agentfield_rt.frames import Media

RecordView = Mapping[str, Any]
"""A record as the control plane's event stream and its replay show it."""

_WORDS = {
    "turn_started": ("text_ref", "green", "caller"),
    "utterance_played": ("heard_ref", "cyan", "agent"),
    "utterance_interrupted": ("heard_ref", "cyan", "agent, interrupted"),
    "response_heard": ("heard_ref", "cyan", "agent"),
}
"""Records that stand for something said: the field with the words, their colour, who said it."""

_IDENTIFIERS = ("_id", "_ref")


class Story:
    """Lines for the records of one session, in their order.

    Args:
        every: Also what went as always: provider events, windows of sound.
    """

    def __init__(self, *, every: bool) -> None:
        self._every = every
        self._began_at_ms: float | None = None
        self._routine: set[str | None] = set()

    def line(self, record: RecordView) -> str | None:
        """A record as rich prints it; None for one that is left out."""
        at_ms: float = record["at_ms"]
        if self._began_at_ms is None:
            self._began_at_ms = at_ms
        if not self._every and self._is_routine(record):
            return None
        at = f"[dim]{(at_ms - self._began_at_ms) / 1e3:9.3f} s[/dim]"
        return (
            f"{at}  {coloured(record['kind'])}{_words(record)} [dim]{literal(_facts(record['data']))}[/dim]"
        )

    def _is_routine(self, record: RecordView) -> bool:
        kind: str = record["kind"]
        if kind == "realtime_input_send_requested" and record["data"].get("media") == Media.AUDIO:
            self._routine.add(record["op_id"])
            return True
        return kind in ROUTINE or (kind == "realtime_input_sent" and record["op_id"] in self._routine)


def _words(record: RecordView) -> str:
    if record["kind"] not in _WORDS:
        return ""
    field, colour, who = _WORDS[record["kind"]]
    texts: Mapping[str | None, str | None] = record.get("content") or {}
    said = texts.get(record["data"].get(field))
    return f" [{colour}]{who}: “{literal(said)}”[/{colour}]" if said else ""


def _facts(data: Mapping[str, Any]) -> str:
    """What a person wants to know of a record: no identifiers, nothing nested."""
    plain = (
        f"{name}={value}"
        for name, value in data.items()
        if not name.endswith(_IDENTIFIERS)
        and isinstance(value, str | int | float)
        and not name.endswith("_ns")
    )
    return ", ".join(plain)
