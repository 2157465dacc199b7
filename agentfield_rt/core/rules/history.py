"""What the journal tells of a session's rules: what they may not do again, and what they left open."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from agentfield_rt.core import records
from agentfield_rt.core.outcomes import lost
from agentfield_rt.core.records import Record
from agentfield_rt.core.rules.repeat import RepeatKey


@dataclass(frozen=True, slots=True)
class RulesState:
    """The fold of a session's rule records, or of a run's.

    Attributes:
        registered: By id, as last registered.
        keys: Where rules have intervened; `RepeatKeys` takes them.
        open: Interventions without an outcome, by operation.
        key_ref: The key for hashes, in the content store.
    """

    registered: dict[str, records.StreamRuleRegistered] = field(
        default_factory=dict[str, records.StreamRuleRegistered]
    )
    keys: tuple[RepeatKey, ...] = ()
    open: dict[str, records.StreamInterventionRequested] = field(
        default_factory=dict[str, records.StreamInterventionRequested]
    )
    key_ref: str | None = None


def rules_state(history: Iterable[Record]) -> RulesState:
    """Fold records, of whatever kind, from the first."""
    registered: dict[str, records.StreamRuleRegistered] = {}
    keys: dict[RepeatKey, None] = {}
    still_open: dict[str, records.StreamInterventionRequested] = {}
    key_ref: str | None = None
    for record in history:
        match record:
            case records.StreamRuleRegistered():
                registered[record.rule_id] = record
                key_ref = record.key_ref
            case records.StreamRuleRepeatStateRecorded():
                keys[RepeatKey.of(record)] = None
            case records.StreamInterventionRequested():
                still_open[record.op_id] = record
            case records.StreamInterventionApplied() | records.StreamInterventionFailed():
                still_open.pop(record.op_id, None)
            case _:
                pass
    return RulesState(registered, tuple(keys), still_open, key_ref)


def closing(state: RulesState) -> list[Record]:
    """Closers for what a process that died left open. Nobody knows if it was done; it is not done again."""
    return [lost(records.StreamInterventionRequested, op_id) for op_id in state.open]
