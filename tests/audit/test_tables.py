"""The auditor's tables were written down apart from the runtime's; here they are held against each other."""

from agentfield_rt.audit import tables
from agentfield_rt.core import completion, lifecycle
from agentfield_rt.core.lifecycle import CLOSES, FEATURE_OPERATIONS, OPENS, OPERATIONS, TRANSITIONS, Outcome
from agentfield_rt.core.records import RECORD_TYPES


def test_the_same_records_close_the_same_operations() -> None:
    closers = {
        opener.kind: {closer.kind for closer, (closes, _) in CLOSES.items() if closes is name}
        for opener, name in OPENS.items()
    }
    closers |= {
        opener.kind: {closer.kind for closer in closers} for opener, closers in FEATURE_OPERATIONS.items()
    }
    assert closers == tables.OPERATIONS


def test_the_same_records_are_possible_in_the_same_phases() -> None:
    transitions = {
        record_type.kind: {source.value: target.value for source, target in steps.items()}
        for record_type, steps in TRANSITIONS.items()
    }
    assert transitions == tables.PHASES
    assert {phase.value for phase in lifecycle.TERMINAL} == tables.TERMINAL


def test_the_same_outcomes_leave_a_doubt() -> None:
    doubts = {
        record_type.kind
        for record_type, (name, outcome) in CLOSES.items()
        if outcome is Outcome.UNKNOWN and OPERATIONS[name].repair
    }
    realtime = {kind for kind, settles in tables.DOUBTS.items() if settles == "realtime_reconciled"}
    assert realtime == doubts


def test_both_gates_mean_the_same_last_records_and_the_same_ones_after_them() -> None:
    assert completion.SEALS.keys() == tables.SEALS
    assert completion.AFTER_SEAL == tables.AFTER_SEAL


def test_the_tables_name_no_record_that_does_not_exist() -> None:
    named = {*tables.OPERATIONS, *tables.CLOSES, *tables.DOUBTS, *tables.PHASES, *tables.AFTER_SEAL}
    assert named | tables.SEALS | tables.VISIBLE | tables.REPEATS_AN_EFFECT <= RECORD_TYPES.keys()
