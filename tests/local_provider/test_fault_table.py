"""Every fault against every production adapter; the page in the docs is what happens."""

from __future__ import annotations

import asyncio

import pytest

from agentfield_adapters.local.faults.fault import Knob
from agentfield_adapters.local.running import running_provider
from tests.local_provider.fault_calls import Case
from tests.local_provider.fault_list import FAULTS, PAIRS
from tests.local_provider.fault_table import PAGE, page, play_all, row

pytestmark = pytest.mark.timeout(300)
GOES_ON = {"yes", "reconnected", "asked again", "no"}


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    with running_provider("--seed", "1") as provider:
        return asyncio.run(play_all(provider))


def wrong(cases: list[Case], what: str) -> dict[str, object]:
    return {case.name: getattr(case, what) for case in cases if getattr(case, what)}


def test_every_knob_is_in_the_table() -> None:
    met = {fault.partition("=")[0].partition(",")[0] for faults in FAULTS.values() for fault in faults}
    assert {name.removesuffix("_at") for name in met} == set(Knob)


def test_every_fault_was_met(cases: list[Case]) -> None:
    assert [case.name for case in cases if not case.struck] == []


def test_every_operation_has_its_outcome_and_the_audit_finds_nothing(cases: list[Case]) -> None:
    assert wrong(cases, "open_operations") == {}
    assert wrong(cases, "findings") == {}


def test_nothing_is_done_twice(cases: list[Case]) -> None:
    assert wrong(cases, "twice") == {}


def test_who_cannot_go_on_was_told_by_a_typed_error(cases: list[Case]) -> None:
    assert [case.name for case in cases if case.goes_on not in GOES_ON] == []
    assert [case.name for case in cases if case.goes_on != "yes" and not case.told] == []


def test_whoever_speaks_a_protocol_meets_its_faults_alike(cases: list[Case]) -> None:
    for pairs in PAIRS.values():
        rows = [[row(case) for case in cases if case.pair == pair] for pair in pairs]
        assert all(same == rows[0] for same in rows)


def test_the_page_is_what_happens(cases: list[Case]) -> None:
    assert PAGE.read_text() == page(cases), "run: python -m tests.local_provider.fault_table"
