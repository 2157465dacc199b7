"""Ids and times as the plane writes them."""

import itertools
import re

import pytest

from agentfield_rt.plane import notation
from agentfield_rt.plane.notation import iso, new_execution_id, new_run_id, new_session_id, run_id_of


def test_ids_say_what_they_are_and_when_they_were_made() -> None:
    made = [new_session_id(), new_run_id(), new_execution_id()]
    written = [re.sub(r"_\d{8}_\d{6}_", " ", its) for its in made]
    assert [(its.split()[0], len(its.split()[1])) for its in written] == [
        ("sess", 32),
        ("run", 16),
        ("exec", 16),
    ]


@pytest.mark.parametrize(
    ("named", "run_id"),
    [
        ("sess_1", "run_1"),
        ("sess_of_sess_1", "run_of_sess_1"),
        ("run_1", "run_1"),
        ("my_sess_1", "my_sess_1"),
    ],
)
def test_a_session_is_journaled_in_the_run_of_its_name(named: str, run_id: str) -> None:
    assert run_id_of(named) == run_id


@pytest.mark.parametrize(
    ("at_s", "written"), [(0, "1970-01-01T00:00:00Z"), (1_795_255_200.25, "2026-11-21T10:00:00.250000Z")]
)
def test_times_are_in_utc_and_say_so(at_s: float, written: str) -> None:
    assert iso(at_s) == written


def test_ids_of_work_are_in_the_order_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "agentfield_rt.plane.notation.time.time", itertools.count(1_763_769_599.5, 0.001).__next__
    )
    for draw in (notation.new_execution_id, notation.new_run_id):
        drawn = [draw() for _ in range(1_000)]  # into the next second
        assert drawn == sorted(drawn)
        assert {len(each) for each in drawn} == {len(drawn[0])}
