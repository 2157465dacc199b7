"""Which interventions there have been, so that a rule repeats itself as often as it declares."""

from collections.abc import Iterable
from dataclasses import dataclass

from agentfield_rt.core.records.rules import Channel, Repeat, StreamRuleRepeatStateRecorded
from agentfield_rt.core.rules.matching import Span
from agentfield_rt.core.rules.rule import Message, Rule

KEYS_MAX = 4_096
"""Remembered per rule, the newest. Once in a run is one key per rule, and never forgotten."""

RuleName = tuple[str, int]
"""A rule's id and version."""


@dataclass(frozen=True, slots=True)
class RepeatKey:
    """Where a rule has intervened; holds no content."""

    rule_id: str
    version: int
    repeat: Repeat
    key: str

    @classmethod
    def of(cls, record: StreamRuleRepeatStateRecorded) -> "RepeatKey":
        """The key that a journal tells of."""
        return cls(record.rule_id, record.version, record.repeat, record.key)


class RepeatKeys:
    """The keys of a session.

    Args:
        once: Keys of rules that intervene once in a run: its sessions share them.
    """

    def __init__(self, keys: Iterable[RepeatKey] = (), *, once: dict[RepeatKey, None] | None = None) -> None:
        self._once = {} if once is None else once
        self._seen: dict[RuleName, dict[RepeatKey, None]] = {}
        for key in keys:
            self.add(key)

    def __contains__(self, key: RepeatKey) -> bool:
        return key in self._once or key in self._seen.get((key.rule_id, key.version), {})

    def add(self, key: RepeatKey) -> None:
        if key.repeat is Repeat.ONCE_PER_RUN:
            self._once[key] = None
            return
        keys = self._seen.setdefault((key.rule_id, key.version), {})
        keys[key] = None
        if len(keys) > KEYS_MAX:
            del keys[next(iter(keys))]

    def all(self) -> tuple[RepeatKey, ...]:
        """Every key that is remembered, oldest first within a rule."""
        return (*self._once, *(key for keys in self._seen.values() for key in keys))


def repeat_key(rule: Rule, channel: Channel, message: Message, *, span: Span) -> RepeatKey | None:
    """The key under which `rule` intervenes at this place no second time; None where it always does."""
    match rule.repeat:
        case Repeat.ALWAYS:
            return None
        case Repeat.ONCE_PER_RUN:
            key = "run"
        case Repeat.ONCE_PER_TURN:
            key = "run" if message.turn_id is None else f"turn/{message.turn_id}"
        case Repeat.ONCE_PER_ATTEMPT_AND_SPAN:
            key = place(channel, message, span)
    return RepeatKey(rule.id, rule.version, rule.repeat, key)


def place(channel: Channel, message: Message, span: Span) -> str:
    """A name for a span of a message, unique in a run."""
    return f"{channel}/{message.attempt_id or ''}/{message.message_id}/{span[0]}-{span[1]}"
