"""The rules bite: bugs planted on purpose, each one plausible slip of the hand, turn them red."""

# pyright: reportPrivateUsage=false

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import strategies as st
from msgspec.structs import replace

from agentfield_journal import JournalError
from agentfield_rt import deliveries as driver
from agentfield_rt.core import deliveries as core
from agentfield_rt.core import records
from agentfield_rt.core.deliveries import DeliveryLedger, DeliveryState
from agentfield_rt.deliveries import Decision, Deliveries
from agentfield_rt.errors import Reason, ReplayMismatch
from agentfield_rt.testing import RuleBroken
from tests.deliveries.world import STEPS, play
from tests.planting import Bug, Bugs, Proof, property_search, prove

PLANTED = Bugs(seen_by=property_search(play, STEPS, st.integers(0, 2**32)))
planted = PLANTED.planted


def reconciled(*, gives_up: bool) -> Proof:
    """A delivery arrives, its receipt is lost, somebody looks or gives up, and it is asked for again."""
    again: list[Any] = [("deliver", (1, 1)), ("answer", (0, "done"))]
    steps = [("deliver", (1, 1)), ("answer", (0, "lost")), ("reconcile", (0, gives_up)), *again]
    return lambda: play([(step, 50) for step in steps], seed=0)


def forgets(*states: DeliveryState) -> Any:
    """An `admit` that lets these be sent again, and a fold that takes it."""
    admit, request = DeliveryLedger.admit, DeliveryLedger._request

    def admits(self: Any, key: str) -> Any:
        known = self._by_key.get(key)
        return None if known is not None and known.state in states else admit(self, key)

    def requests(self: Any, record: Any) -> None:
        known = self._by_key.get(record.dedupe_key)
        if known is not None and known.state in states:
            self._by_key.pop(record.dedupe_key)
            self._unsettled.pop(known.request.op_id, None)
        request(self, record)

    return admits, requests


def plant_forgetting(patch: pytest.MonkeyPatch, *states: DeliveryState) -> None:
    admits, requests = forgets(*states)
    patch.setattr(DeliveryLedger, "admit", admits)
    patch.setattr(DeliveryLedger, "_request", requests)


@planted("the sink is called for a duplicate")
def duplicate_sent(patch: pytest.MonkeyPatch) -> None:
    plant_forgetting(patch, DeliveryState.COMPLETED)


@planted("what may have arrived is sent again", seed=2)
def unknown_resent(patch: pytest.MonkeyPatch) -> None:
    plant_forgetting(patch, DeliveryState.RECONCILIATION_NEEDED)


@planted("what was given up in doubt is sent again", seen_by=reconciled(gives_up=True), seed=4)
def abandoned_resent(patch: pytest.MonkeyPatch) -> None:
    plant_forgetting(patch, DeliveryState.ABANDONED)


@planted("two that overlap are both sent")
def overlapping_sent(patch: pytest.MonkeyPatch) -> None:
    @contextlib.asynccontextmanager
    async def turn(self: Any, key: str) -> AsyncGenerator[None]:
        yield

    patch.setattr(Deliveries, "_turn", turn)
    plant_forgetting(patch, DeliveryState.OPEN)


@planted("the index is not rebuilt by a new process")
def index_lost(patch: pytest.MonkeyPatch) -> None:
    def replay(run_id: str, history: Any) -> DeliveryLedger:
        return DeliveryLedger(run_id)

    patch.setattr(driver, "replay", replay)


@planted("the sink is called before the intent is durable")
def intent_not_durable(patch: pytest.MonkeyPatch) -> None:
    original = Deliveries._dispatch

    async def dispatch(self: Any, request: Any, parcel: Any, sink: Any) -> None:
        run = self._run
        self._run = _NeverDurable(run)
        try:
            await original(self, request, parcel, sink)
        finally:
            self._run = run

    patch.setattr(Deliveries, "_dispatch", dispatch)


class _NeverDurable:
    def __init__(self, run: Any) -> None:
        self._run = run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    async def durable(self) -> None:
        return


def plant_doubt(patch: pytest.MonkeyPatch, of: Reason | None) -> None:
    original = driver._in_doubt

    def in_doubt(op_id: str, reason: Reason) -> Any:
        if of in (None, reason):
            return records.OutputDispatchFailed(op_id=op_id, reason=reason)
        return original(op_id, reason)

    patch.setattr(driver, "_in_doubt", in_doubt)


@planted("a sink that raised certainly did nothing")
def doubt_is_failure(patch: pytest.MonkeyPatch) -> None:
    plant_doubt(patch, Reason.UNAVAILABLE)


@planted("what a dead process left open did not arrive", seed=4)
def dead_is_not_done(patch: pytest.MonkeyPatch) -> None:
    def not_done(_: Any, op_id: str) -> Any:
        return records.OutputDispatchFailed(op_id=op_id, reason=Reason.PROCESS_LOST)

    patch.setattr(driver, "lost", not_done)


@planted("the outcome is lost when the caller is cancelled")
def outcome_lost(patch: pytest.MonkeyPatch) -> None:
    original = Deliveries._commit

    def commit(self: Any, *written: Any) -> None:
        self._owed[:] = [owed for owed in self._owed if getattr(owed, "reason", None) is not Reason.CANCELLED]
        original(self, *written)

    patch.setattr(Deliveries, "_commit", commit)


@planted("an outcome that the journal refused is dropped")
def owed_dropped(patch: pytest.MonkeyPatch) -> None:
    original = Deliveries._commit

    def commit(self: Any, *written: Any) -> None:
        try:
            original(self, *written)
        except JournalError:
            self._owed.clear()
            raise

    patch.setattr(Deliveries, "_commit", commit)


@planted("a sink's call has no deadline")
def no_deadline(patch: pytest.MonkeyPatch) -> None:
    original = Deliveries._request

    def request(self: Any, *arguments: Any, **more: Any) -> Any:
        return replace(original(self, *arguments, **more), deadline_s=1e6)

    patch.setattr(Deliveries, "_request", request)


@planted("a duplicate leaves no record")
def dedupe_unrecorded(patch: pytest.MonkeyPatch) -> None:
    async def dedupe(self: Any, earlier: Any) -> Any:
        await asyncio.sleep(0)
        return driver.DeliveryOutcome(driver.DeliveryStatus.DEDUPED, earlier.request.op_id)

    patch.setattr(Deliveries, "_dedupe", dedupe)


@planted("not done is taken for done")
def reconciled_wrongly(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(core.RECONCILED_AS, Decision.NOT_DONE, DeliveryState.COMPLETED)


@planted("done is taken for not done", seen_by=reconciled(gives_up=False))
def reconciled_into_a_second_call(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(core.RECONCILED_AS, Decision.DONE, DeliveryState.FAILED)


@planted("what is delivered stands in the record")
def content_recorded(patch: pytest.MonkeyPatch) -> None:
    def keep(self: Any, data: bytes) -> str:
        return data.decode()

    patch.setattr(Deliveries, "_keep", keep)


@pytest.mark.parametrize("gives_up", [False, True])
def test_what_is_reconciled_keeps_the_rules(gives_up: bool) -> None:
    prove(reconciled(gives_up=gives_up))


@pytest.mark.parametrize("bug", PLANTED, ids=str)
def test_a_planted_bug_turns_the_rules_red(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.must_be_noticed(monkeypatch, RuleBroken, ReplayMismatch)
