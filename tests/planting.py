"""Bugs planted on purpose, each one plausible slip of the hand, and whether what must notice them does.

    PLANTED = Bugs(seen_by=SomeMachine)


    @PLANTED.planted("the newest turn comes first")
    def newest_turn_first(patch: pytest.MonkeyPatch) -> None: ...


    @pytest.mark.parametrize("bug", PLANTED, ids=str)
    def test_a_planted_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
        bug.must_be_noticed(monkeypatch, RuleBroken)

Where the proof needs more than a call, `noticed` goes round it.
"""

import asyncio
import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from hypothesis.strategies import SearchStrategy

Plant = Callable[[pytest.MonkeyPatch], None]
Machine = type[RuleBasedStateMachine]
Proof = Callable[[], Any]
"""A test, of the kind that waits or the other, that is green without the bug."""

ANY = (Exception, pytest.fail.Exception, asyncio.CancelledError)
BROKEN_PLANT = (NameError, TypeError, AttributeError, ImportError)
SEARCH = settings(
    max_examples=3_000,
    stateful_step_count=50,
    deadline=None,
    database=None,
    derandomize=True,
    report_multiple_bugs=False,
    phases=[Phase.generate],  # the first that breaks is enough, however large
    verbosity=Verbosity.quiet,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
"""For as long as it takes: a bug is found in a few of these examples, or nearly so."""


@contextmanager
def noticed(plant: Plant, patch: pytest.MonkeyPatch, *red: type[BaseException]) -> Generator[None]:
    """The block must break, in one of the ways that `red` lists, once the bug is planted.

    Raises:
        pytest.fail.Exception: nobody noticed the bug, or the plant itself is broken.
    """
    plant(patch)
    expected = red or ANY
    try:
        yield
    except expected as error:
        if not red and isinstance(error, BROKEN_PLANT):
            pytest.fail(f"the plant is broken, not what it is planted in: {error!r}")
    else:
        pytest.fail(f"nobody noticed: {plant.__name__}")


@dataclass(frozen=True, slots=True)
class Bug:
    """What is wrong, how it is planted, and the test or state machine that finds it.

    A search may be told the seed that finds it soon; with any other it takes longer.
    """

    wrong: str
    plant: Plant
    seen_by: Proof | Machine
    seed: int | None = None

    def __str__(self) -> str:
        return self.wrong

    def must_be_noticed(self, patch: pytest.MonkeyPatch, *red: type[BaseException]) -> None:
        """Plant it and see its proof break; see `noticed`."""
        if hasattr(self.seen_by, "hypothesis"):  # a test of its own, which would make small what it found
            patch.setattr(self.seen_by, "_hypothesis_internal_use_settings", SEARCH)
        if self.seed is not None:
            patch.setattr(self.seen_by, "_hypothesis_internal_use_seed", self.seed, raising=False)
        with noticed(self.plant, patch, *red):
            prove(self.seen_by)


class Bugs(list[Bug]):
    """The bugs of one part; `seen_by` is what finds those that name nothing of their own."""

    def __init__(self, *, seen_by: Proof | Machine | None = None) -> None:
        super().__init__()
        self._seen_by = seen_by

    def planted(
        self, wrong: str, *, seen_by: Proof | Machine | None = None, seed: int | None = None
    ) -> Callable[[Plant], Plant]:
        """Registers a bug under what it does wrong."""
        proof = seen_by or self._seen_by
        assert proof is not None, "nothing is said to find it"

        def register(plant: Plant) -> Plant:
            self.append(Bug(wrong, plant, proof, seed))
            return plant

        return register

    @property
    def proofs(self) -> list[Proof | Machine]:
        """Each of them once: without a bug they are green."""
        return list(dict.fromkeys(bug.seen_by for bug in self))


def prove(proof: Proof | Machine) -> None:
    """Run it, to its end."""
    if isinstance(proof, type):
        run_state_machine_as_test(proof, settings=SEARCH)
    elif inspect.iscoroutine(outcome := proof()):
        asyncio.run(outcome)


def property_search(holds: Callable[..., Any], *strategies: SearchStrategy[Any]) -> Proof:
    """Whatever breaks a property."""
    return SEARCH(given(*strategies)(holds))


def nothing(*_: object, **__: object) -> None:
    """What was forgotten, in its place."""


def always(answer: object) -> Callable[..., Any]:
    """A function that is not interested in its arguments."""
    return lambda *_, **__: answer
