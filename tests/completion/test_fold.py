"""The fold behind the gate, against a plain count of what is open, over runs in which everything overlaps."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfield_rt.core import records
from agentfield_rt.core.completion import SEALS, Completion, Condition, Fact
from agentfield_rt.core.evolve import replay
from agentfield_rt.core.lifecycle import CLOSES, FEATURE_OPERATIONS, OPENERS, TERMINAL, TRANSITIONS, Phase
from agentfield_rt.core.records import Record
from agentfield_rt.errors import CloseReason, Reason, ReplayMismatch
from tests.completion.workload import Said, facts, folded, history

seeds = st.integers(0, 2**32)
CLOSERS = {*CLOSES, *(closer for closers in FEATURE_OPERATIONS.values() for closer in closers)}


def is_over(said: Sequence[Said]) -> bool:
    """By counting, session by session, with the session's own fold."""
    opened = [getattr(one.record, "op_id", "") for one in said if type(one.record) in OPENERS]
    closed = [getattr(one.record, "op_id", "") for one in said if type(one.record) in CLOSERS]
    if sorted(opened) != sorted(closed):
        return False
    for session_id in {one.session_id for one in said}:
        own = [one.record for one in said if one.session_id == session_id]
        state = replay(session_id, [record for record in own if type(record) in TRANSITIONS])
        if state.unknown or state.gated or state.phase not in TERMINAL | {Phase.IDLE}:
            return False
        kinds = [record.kind for record in own]
        if "session_started" in kinds and "session_ended" not in kinds:
            return False
    return True


@settings(max_examples=150)
@given(seeds, st.booleans())
def test_a_run_may_be_sealed_exactly_when_nothing_in_it_is_open(seed: int, ends: bool) -> None:
    said = history(seed, ends=ends)
    completion = Completion()
    for length, fact in enumerate(facts(said), 1):
        completion.add(fact)
        assert completion.may_seal == is_over(said[:length])
        assert completion.may_seal == (not completion.unfinished())


@given(seeds)
def test_every_run_whose_operations_end_may_be_sealed_in_the_end(seed: int) -> None:
    assert folded(history(seed)).may_seal


@given(seeds, st.booleans())
def test_only_something_new_closes_a_gate_that_was_open(seed: int, ends: bool) -> None:
    said = history(seed, ends=ends)
    completion = Completion()
    begins = OPENERS | {records.SessionStarted, records.BackpressureApplied}
    for one, fact in zip(said, facts(said), strict=True):
        before = completion.may_seal
        completion.add(fact)
        if before and not completion.may_seal:
            assert type(one.record) in begins


@given(seeds)
def test_each_unmet_condition_names_in_one_sentence_a_record_that_is_there(seed: int) -> None:
    said = history(seed, ends=False)
    there = facts(said)
    unmet = folded(said).unfinished()
    assert len({one.condition for one in unmet}) == len(unmet)
    for one in unmet:
        assert one.sentence.endswith(".") and ". " not in one.sentence
        assert one.waits_for is not None
        assert one.waits_for == there[one.waits_for.seq - 1]
        assert f"seq {one.waits_for.seq}" in one.sentence
        assert one.waits_for.kind in one.sentence


@pytest.mark.parametrize(
    ("prefix", "condition"),
    [
        ("stream_", Condition.STREAM_INTERVENTIONS_TERMINAL),
        ("approval_", Condition.APPROVALS_TERMINAL),
        ("output_dispatch_", Condition.OUTPUT_DELIVERY_TERMINAL),
        ("utterance_", Condition.OUTPUT_DELIVERY_TERMINAL),
        ("realtime_", Condition.REALTIME_SESSIONS_TERMINAL),
        ("turn_", Condition.JOURNAL_TERMINAL),
        ("tool_", Condition.JOURNAL_TERMINAL),
        ("execution_", Condition.JOURNAL_TERMINAL),
    ],
)
def test_an_open_operation_keeps_its_feature_s_condition(prefix: str, condition: Condition) -> None:
    openers = [opener for opener in OPENERS if opener.kind.startswith(prefix)]
    assert openers
    for opener in openers:
        completion = Completion()
        completion.add(Fact(1, opener.kind, "x", None))
        assert [unmet.condition for unmet in completion.unfinished()] == [condition]


def test_every_opener_keeps_the_run_and_each_of_its_closers_lets_it_go() -> None:
    for opener, closers in FEATURE_OPERATIONS.items():
        for closer in closers:
            completion = Completion()
            completion.add(Fact(1, opener.kind, "x"))
            assert not completion.may_seal
            completion.add(Fact(2, closer.kind, "x"))
            assert completion.may_seal


def test_an_outcome_in_doubt_keeps_the_run_until_it_is_reconciled() -> None:
    completion = Completion()
    for seq, kind in enumerate(("realtime_connect_requested", "realtime_connect_unknown"), 1):
        completion.add(Fact(seq, kind, "x", "s"))
    completion.add(Fact(3, "realtime_failed", None, "s"))
    (unmet,) = completion.unfinished()
    assert unmet.sentence == (
        "Nobody has said what became of realtime_connect_unknown (seq 2, operation x); reconcile it."
    )
    completion.add(Fact(4, "realtime_reconciled", "x", "s"))
    assert completion.may_seal


def test_a_frame_behind_the_gate_keeps_the_run_until_it_has_its_fate() -> None:
    completion = Completion()
    completion.add(Fact(1, "realtime_backpressure_applied", None, "s", "f1"))
    completion.add(Fact(2, "realtime_failed", None, "s"))
    (unmet,) = completion.unfinished()
    assert unmet.condition is Condition.REALTIME_SESSIONS_TERMINAL
    assert unmet.waits_for == Fact(1, "realtime_backpressure_applied", None, "s", "f1")
    completion.add(Fact(3, "realtime_input_dropped", None, "s", "f1"))
    assert completion.may_seal


def test_a_kind_of_another_version_keeps_the_run() -> None:
    completion = Completion()
    completion.add(Fact(1, "utterance_sung", "x"))
    (unmet,) = completion.unfinished()
    assert (unmet.condition, unmet.waits_for) == (Condition.JOURNAL_TERMINAL, Fact(1, "utterance_sung", "x"))
    assert not completion.may_seal


@pytest.mark.parametrize("kind", [*SEALS, "turn_started", "session_started", "utterance_started"])
def test_nothing_but_what_is_found_out_later_follows_the_last_record(kind: str) -> None:
    completion = Completion()
    completion.add(Fact(1, "run_failed"))
    completion.add(Fact(2, "output_dispatch_reconciled", "d"))
    with pytest.raises(ReplayMismatch, match="the run's last record"):
        completion.add(Fact(3, kind))
    assert completion.seq == 2


def test_a_record_that_is_missing_is_not_folded_over() -> None:
    completion = Completion()
    with pytest.raises(ReplayMismatch, match="cannot follow"):
        completion.add(Fact(2, "session_started", None, "s"))


VISIBLE: list[Record] = [
    records.UtterancePlayed(op_id="u"),
    records.UtteranceInterrupted(op_id="u"),
    records.ExecutionSucceeded(op_id="e", result_ref="ref"),
    records.ExecutionFailed(op_id="e", reason=Reason.INTERNAL),
    records.OutputReceived(op_id="o", cursor=1, events={"OutputAudio": 1}),
    records.OutputDispatchCompleted(op_id="d"),
    records.SessionEnded(reason=CloseReason.CALLER_GONE),
]


@pytest.mark.parametrize("record", VISIBLE, ids=lambda record: record.kind)
def test_output_is_seen_when_somebody_outside_could_see_something(record: Record) -> None:
    completion = Completion()
    assert not completion.output_seen
    completion.add(Fact(1, record.kind, "x", "s"))
    assert completion.output_seen
