"""Deliveries, story by story: an intent before the sink, one outcome after it, and doubt that stays doubt."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentfield_journal import JournalError, JournalFull
from agentfield_rt.core import deliveries as core
from agentfield_rt.core import records
from agentfield_rt.deliveries import (
    CallableSink,
    Decision,
    Deliveries,
    DeliveryOutcome,
    DeliveryStatus,
    Destination,
    Output,
    Parcel,
    SinkError,
)
from agentfield_rt.errors import IllegalCommand, Reason, RepairNeeded
from tests.approvals.stage import RUN_ID, SESSION_ID, Stage, settle
from tests.virtual_time import in_virtual_time

CRM = Destination("crm", "case-42")
SECRET = b"four hundred euros to Mrs Smith"


def output(version: int = 1) -> Output:
    return Output(source_id="turn_1", version=version, body=SECRET, content_type="text/plain")


@dataclass
class Scene:
    """A run's deliveries and a sink that does what it is told."""

    stage: Stage
    deliveries: Deliveries
    does: Any = None
    parcels: list[Parcel] = field(default_factory=list[Parcel])

    @property
    def sink(self) -> CallableSink:
        return CallableSink("desk", self.take)

    async def take(self, parcel: Parcel) -> str | None:
        assert (await self.stage.told_durable())[-1].kind == "output_dispatch_requested"
        self.parcels.append(parcel)
        if isinstance(self.does, BaseException):
            raise self.does
        if isinstance(self.does, asyncio.Event):
            await self.does.wait()
            return None
        return self.does if isinstance(self.does, str) else None

    async def deliver(self, given: Output | None = None, **more: Any) -> DeliveryOutcome:
        return await self.deliveries.deliver(given or output(), CRM, self.sink, **more)


@asynccontextmanager
async def scene(*, is_whole: bool = True) -> AsyncGenerator[Scene]:
    """Deliveries of a fresh run; at the end a new process knows the same as this one."""
    stage = Stage()
    run = await stage.open_run()
    deliveries = Deliveries(run, stage.content, session_id=SESSION_ID)
    try:
        yield Scene(stage, deliveries)
        await deliveries.close()
        await settle()
        if is_whole:
            await run.durable()
            assert core.replay(RUN_ID, await stage.history()) == deliveries.ledger
            assert not deliveries.ledger.open
        assert SECRET not in await stage.payloads()
    finally:
        await stage.close()


@in_virtual_time
async def test_a_delivery_has_its_durable_intent_and_then_its_outcome() -> None:
    async with scene() as s:
        s.does = "ticket 7"
        outcome = await s.deliver(required=True)
        assert outcome.status is DeliveryStatus.COMPLETED
        requested, completed = await s.stage.history()
        assert isinstance(requested, records.OutputDispatchRequested)
        assert isinstance(completed, records.OutputDispatchCompleted)
        assert requested.op_id == completed.op_id == outcome.op_id
        assert await s.stage.content.get(requested.output_ref) == SECRET
        assert await s.stage.content.get(completed.receipt_ref or "") == b"ticket 7"
        (parcel,) = s.parcels
        assert (parcel.body, parcel.dedupe_key) == (SECRET, requested.dedupe_key)
        assert SECRET.decode() not in repr(parcel) + repr(output())


@in_virtual_time
async def test_a_duplicate_makes_no_call_and_one_record() -> None:
    async with scene() as s:
        first = await s.deliver()
        again = await s.deliver(replace_body(output()))
        assert (again.status, again.op_id) == (DeliveryStatus.DEDUPED, first.op_id)
        assert len(s.parcels) == 1
        assert (await s.stage.kinds())[2:] == ["output_dispatch_deduped"]


def replace_body(given: Output) -> Output:
    """The same output in other words: what it says makes no difference."""
    return Output(source_id=given.source_id, version=given.version, body=b"other words")


@in_virtual_time
async def test_a_new_version_another_destination_and_another_sink_are_deliveries_of_their_own() -> None:
    async with scene() as s:
        outcomes = [
            await s.deliver(),
            await s.deliver(output(version=2)),
            await s.deliveries.deliver(output(), Destination("crm", "case-43"), s.sink),
            await s.deliveries.deliver(output(), CRM, CallableSink("other", s.take)),
        ]
        assert {outcome.status for outcome in outcomes} == {DeliveryStatus.COMPLETED}
        assert len({outcome.op_id for outcome in outcomes}) == len(s.parcels) == 4


@in_virtual_time
async def test_what_certainly_did_not_arrive_may_be_tried_again_under_an_id_of_its_own() -> None:
    async with scene() as s:
        s.does = SinkError("refused", reason=Reason.RATE_LIMITED, not_done=True)
        failed = await s.deliver()
        assert (failed.status, failed.reason) == (DeliveryStatus.FAILED, Reason.RATE_LIMITED)
        s.does = None
        done = await s.deliver()
        assert done.status is DeliveryStatus.COMPLETED
        assert done.op_id != failed.op_id
        assert s.parcels[0].dedupe_key == s.parcels[1].dedupe_key


@in_virtual_time
@pytest.mark.parametrize(
    ("does", "reason"),
    [
        (SinkError("no answer", reason=Reason.CONNECTION_LOST, not_done=False), Reason.CONNECTION_LOST),
        (RuntimeError(SECRET.decode()), Reason.HANDLER_ERROR),
        (SystemExit(1), Reason.HANDLER_ERROR),
        (BaseExceptionGroup("a group", [asyncio.CancelledError()]), Reason.HANDLER_ERROR),
        (asyncio.CancelledError(), Reason.CANCELLED),
        (asyncio.Event(), Reason.TIMEOUT),
    ],
)
async def test_what_may_have_arrived_is_not_sent_again_before_somebody_found_out(
    does: Any, reason: Reason
) -> None:
    async with scene() as s:
        s.does = does
        outcome = await s.deliver(deadline_s=5)
        assert (outcome.status, outcome.reason) == (DeliveryStatus.RECONCILIATION_NEEDED, reason)
        assert outcome.op_id is not None
        with pytest.raises(RepairNeeded) as refused:
            await s.deliver()
        assert refused.value.op_ids == (outcome.op_id,)
        assert len(s.parcels) == 1
        assert [delivery.request.op_id for delivery in s.deliveries.ledger.unresolved] == [outcome.op_id]


@in_virtual_time
@pytest.mark.parametrize(
    ("decision", "then"),
    [
        (Decision.DONE, DeliveryStatus.DEDUPED),
        (Decision.NOT_DONE, DeliveryStatus.COMPLETED),
        (Decision.ABANDONED, None),
    ],
)
async def test_doubt_ends_with_a_decision_which_stands(
    decision: Decision, then: DeliveryStatus | None
) -> None:
    async with scene() as s:
        s.does = RuntimeError()
        op_id = (await s.deliver()).op_id
        assert op_id is not None
        for _ in range(2):
            await s.deliveries.reconcile(op_id, decision)
        for other in set(Decision) - {decision}:
            with pytest.raises(IllegalCommand):
                await s.deliveries.reconcile(op_id, other)
        s.does = None
        if then is None:
            with pytest.raises(IllegalCommand, match="given up"):
                await s.deliver()
        else:
            assert (await s.deliver()).status is then
        assert (await s.stage.kinds()).count("output_dispatch_reconciled") == 1


@in_virtual_time
async def test_two_that_overlap_make_one_call() -> None:
    async with scene() as s:
        s.does = asyncio.Event()
        tasks = [asyncio.create_task(s.deliver()) for _ in range(3)]
        await settle()
        s.does.set()
        statuses = [(await task).status for task in tasks]
        assert statuses == [DeliveryStatus.COMPLETED, DeliveryStatus.DEDUPED, DeliveryStatus.DEDUPED]
        assert len(s.parcels) == 1


@in_virtual_time
async def test_cancelled_while_the_sink_is_called_it_is_in_doubt() -> None:
    async with scene() as s:
        s.does = asyncio.Event()
        task = asyncio.create_task(s.deliver())
        await settle()
        task.cancel()
        await settle()
        assert task.cancelled()
        assert (await s.stage.kinds())[1:] == ["output_dispatch_reconciliation_needed"]


@in_virtual_time
async def test_cancelled_before_the_sink_is_called_it_did_not_arrive() -> None:
    async with scene() as s:
        task = asyncio.create_task(s.deliver())
        await asyncio.sleep(0)
        task.cancel()
        await settle()
        assert s.parcels == []
        assert (await s.stage.kinds())[1:] == ["output_dispatch_failed"]
        assert (await s.deliver()).status is DeliveryStatus.COMPLETED


@in_virtual_time
async def test_a_sink_that_does_not_stop_holds_nobody_up_and_may_not_be_called_undone() -> None:
    release = asyncio.Event()

    async def stubborn(parcel: Parcel) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async with scene() as s:
        sink = CallableSink("stubborn", stubborn)
        outcome = await s.deliveries.deliver(output(), CRM, sink, deadline_s=5)
        assert outcome.reason is Reason.TIMEOUT
        assert outcome.op_id is not None
        with pytest.raises(IllegalCommand, match="not returned yet"):
            await s.deliveries.reconcile(outcome.op_id, Decision.NOT_DONE)
        release.set()
        await settle()
        await s.deliveries.reconcile(outcome.op_id, Decision.DONE)


@in_virtual_time
async def test_without_a_sink_a_required_delivery_fails_and_another_is_skipped() -> None:
    async with scene() as s:
        skipped = await s.deliveries.deliver(output(), CRM, None)
        assert skipped == DeliveryOutcome(DeliveryStatus.SKIPPED)
        assert await s.stage.kinds() == []
        failed = await s.deliveries.deliver(output(), CRM, None, required=True)
        assert (failed.status, failed.reason) == (DeliveryStatus.FAILED, Reason.NOT_FOUND)


@in_virtual_time
async def test_an_intent_that_cannot_be_written_calls_no_sink() -> None:
    async with scene() as s:
        s.stage.faults.full = 1
        with pytest.raises(JournalFull):
            await s.deliver()
        assert s.parcels == []
        assert await s.stage.kinds() == []


@in_virtual_time
async def test_an_outcome_that_cannot_be_written_is_owed_and_written_first() -> None:
    async with scene() as s:
        s.does = asyncio.Event()
        task = asyncio.create_task(s.deliver())
        await settle()
        s.stage.faults.full = 2
        s.does.set()
        with pytest.raises(JournalFull):
            await task
        s.does = None
        assert (await s.deliver()).status is DeliveryStatus.DEDUPED
        assert (await s.stage.kinds())[1:] == ["output_dispatch_completed", "output_dispatch_deduped"]
        assert len(s.parcels) == 1


@in_virtual_time
async def test_a_receipt_that_is_no_text_takes_nothing_away_from_its_delivery() -> None:
    async with scene() as s:
        s.does = "half of a pair: \ud800"
        assert (await s.deliver()).status is DeliveryStatus.COMPLETED
        assert (await s.deliver()).status is DeliveryStatus.DEDUPED
        assert len(s.parcels) == 1


@in_virtual_time
async def test_what_cannot_be_kept_is_not_delivered_and_a_receipt_that_cannot_takes_nothing_away() -> None:
    async with scene() as s:

        async def breaks_the_store(parcel: Parcel) -> str:
            await s.stage.content.close()
            return "a receipt"

        sink = CallableSink("desk", breaks_the_store)
        assert (await s.deliveries.deliver(output(), CRM, sink)).status is DeliveryStatus.COMPLETED
        with pytest.raises(JournalError):
            await s.deliver(output(version=2))
        assert s.parcels == []
        assert len(await s.stage.kinds()) == 2


@in_virtual_time
@pytest.mark.parametrize("dies_at", range(5))
async def test_a_process_that_dies_at_any_append_leaves_proof_or_doubt_and_never_a_second_call(
    dies_at: int,
) -> None:
    stage = Stage()
    first = Scene(stage, Deliveries(await stage.open_run(), stage.content, session_id=SESSION_ID))
    stage.faults.appends_left = dies_at
    for version in (1, 2):
        try:
            await first.deliver(output(version))
        except JournalError:
            break
    second = Scene(
        stage,
        Deliveries(
            await stage.open_run(), stage.content, session_id=SESSION_ID, history=await stage.history()
        ),
    )
    in_doubt = await second.deliveries.recover()
    assert len(in_doubt) == dies_at % 2
    for version in (1, 2):
        try:
            await second.deliver(output(version))
        except RepairNeeded as refused:
            assert refused.op_ids == tuple(delivery.request.op_id for delivery in in_doubt)
    keys = [parcel.dedupe_key for parcel in (*first.parcels, *second.parcels)]
    assert len(keys) == len(set(keys))
    assert core.replay(RUN_ID, await stage.history()) == second.deliveries.ledger
    await stage.close()


@in_virtual_time
async def test_no_more_than_so_many_are_under_way() -> None:
    async with scene() as s:
        s.does = asyncio.Event()
        tasks = [asyncio.create_task(s.deliver(output(version))) for version in range(1, 257)]
        await settle()
        with pytest.raises(IllegalCommand, match="under way already"):
            await s.deliver(output(version=1_000))
        s.does.set()
        await asyncio.gather(*tasks)


@in_virtual_time
async def test_a_delivery_that_never_was_cannot_be_reconciled() -> None:
    async with scene() as s:
        with pytest.raises(IllegalCommand, match="has no delivery"):
            await s.deliveries.reconcile("dlv_0", Decision.DONE)


@in_virtual_time
async def test_recovering_leaves_alone_what_this_process_is_about() -> None:
    async with scene() as s:
        s.does = asyncio.Event()
        task = asyncio.create_task(s.deliver())
        await settle()
        assert await s.deliveries.recover() == ()
        s.does.set()
        assert (await task).status is DeliveryStatus.COMPLETED
