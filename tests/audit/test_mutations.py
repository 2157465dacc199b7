"""Every invariant has a journal that breaks it, and the auditor says exactly that."""

import pytest
from msgspec.structs import replace

from agentfield_journal import Envelope
from agentfield_rt.audit import Code, audit
from agentfield_rt.core import records
from tests.audit import broken_recordings, broken_runs, broken_sessions
from tests.audit.mutations import MUTATIONS, SENTINEL
from tests.audit.story import CALL, SESSION_ID, chained, index_of, stored

BROKEN = (broken_recordings, broken_runs, broken_sessions)
"""Importing them registers their mutations."""


@pytest.fixture(scope="module")
def story() -> list[Envelope]:
    return stored(CALL, records.RunCompleted())


def test_the_story_itself_is_clean_and_so_is_every_beginning_of_it(story: list[Envelope]) -> None:
    report = audit(story, sentinels=[SENTINEL])
    assert (report.findings, report.records, report.open_operations) == ([], len(CALL) + 1, 0)
    for length in range(len(story)):
        assert not audit(story[:length]).findings


def test_the_story_chained_anew_is_clean_too(story: list[Envelope]) -> None:
    assert not audit(chained(story)).findings


def test_the_story_of_a_call_that_was_recorded_is_clean_too(story: list[Envelope]) -> None:
    report = audit(broken_recordings.recorded(story))
    assert (report.findings, report.records) == ([], len(story) + 4)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_journal_yields_exactly_its_finding(name: str, story: list[Envelope]) -> None:
    code, mutation = MUTATIONS[name]
    mutated = mutation(list(story))
    report = audit(mutated, sentinels=[SENTINEL])
    assert {finding.code for finding in report.findings} == {code}, report.findings
    assert len(report.findings) == 1, report.findings
    finding = report.findings[0]
    assert finding.code.invariant == int(finding.code[:2])
    assert finding.problem.endswith(".") and finding.problem.count(". ") == 0
    assert audit(mutated, sentinels=[SENTINEL]) == report


def test_every_code_is_found_by_some_test() -> None:
    by_mutation = {code for code, _ in MUTATIONS.values()}
    assert by_mutation == set(Code) - {Code.SESSION_ID_REPEATED}  # that takes two runs: test_journals


def test_the_time_of_a_record_changes_no_verdict(story: list[Envelope]) -> None:
    times = [replace(envelope, at_ns=-7 * envelope.seq % 100) for envelope in story]
    assert audit(times) == audit(story)
    for _, mutation in MUTATIONS.values():
        broken = mutation(list(story))
        assert audit([replace(envelope, at_ns=9) for envelope in broken]) == audit(broken)


def test_a_finding_quotes_no_free_text(story: list[Envelope]) -> None:
    words = "my card number is 4111"
    at = index_of(story, "utterance_started")
    for field in ("kind", "record_id", "op_id", "run_id"):
        mutated = [*story[:at], replace(story[at], **{field: words}), *story[at + 1 :]]
        report = audit(mutated)
        assert words not in str(report)
    assert SESSION_ID in str(audit(broken_runs.a_run_ends_with_a_live_connection(list(story))))
