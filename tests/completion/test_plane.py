"""The plane seals through the gate: what it may not seal stays open, and says why in the log."""

import asyncio
import logging

import pytest

from agentfield_journal import StoreJournal, open_journal
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import Reason
from agentfield_rt.plane.errors import Conflict
from agentfield_rt.plane.runs import Runs
from agentfield_rt.run import Context
from tests.audit.story import CALL
from tests.completion.test_gate import HeldStore

RUN_ID = "run_plane"
OPEN = records.ExecutionQueued(op_id="e9", target="desk.waits", input_ref="ref")


@pytest.mark.asyncio
async def test_a_run_in_which_something_is_open_is_left_for_whoever_finishes_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_journal("memory:") as journal:
        runs = Runs(journal)
        run = await runs.hold(RUN_ID)
        run.append([*CALL, OPEN], Context(session_id="s1"))
        with caplog.at_level(logging.ERROR):
            await runs.let_go(RUN_ID)
        assert f"execution_queued (seq {len(CALL) + 1}, operation e9) has no outcome yet." in caplog.text
        assert runs.ended.is_set()
        assert (await journal.read(RUN_ID))[-1].kind == "execution_queued"
        run = await runs.hold(RUN_ID)
        run.append([records.ExecutionFailed(op_id="e9", reason=Reason.PROCESS_LOST)], Context())
        await runs.let_go(RUN_ID)
        assert (await run.finished()).outcome == "completed"
        with pytest.raises(Conflict):
            await runs.hold(RUN_ID)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("failed", "cancelled", "last"),
    [
        (None, False, "run_completed"),
        (None, True, "run_cancelled"),
        (Reason.UNAVAILABLE, False, "run_failed"),
        (Reason.UNAVAILABLE, True, "run_failed"),
    ],
)
async def test_the_last_record_says_what_became_of_the_run(
    failed: Reason | None, cancelled: bool, last: str
) -> None:
    async with open_journal("memory:") as journal:
        runs = Runs(journal)
        history: list[Record] = list(CALL)
        (await runs.hold(RUN_ID)).append(history, Context(session_id="s1"))
        if failed is not None:
            runs.fail(RUN_ID, failed)
        if cancelled:
            runs.cancel(RUN_ID)
        await runs.let_go(RUN_ID)
        assert (await journal.read(RUN_ID))[-1].kind == last


@pytest.mark.asyncio
async def test_a_run_that_waits_for_its_seal_keeps_no_other_waiting() -> None:
    store = HeldStore()
    journal = StoreJournal(store)
    runs = Runs(journal)
    (await runs.hold(RUN_ID)).append(CALL, Context(session_id="s1"))
    other = await runs.hold("run_other")
    store.free.clear()
    sealing = asyncio.create_task(runs.let_go(RUN_ID))
    await asyncio.sleep(0)
    assert await runs.hold("run_other") is other
    assert not sealing.done()
    store.free.set()
    await sealing
    await journal.close()


@pytest.mark.asyncio
async def test_a_run_that_is_being_sealed_is_not_taken_up_again() -> None:
    store = HeldStore()
    journal = StoreJournal(store)
    runs = Runs(journal)
    (await runs.hold(RUN_ID)).append(CALL, Context(session_id="s1"))
    store.free.clear()
    sealing = asyncio.create_task(runs.let_go(RUN_ID))
    await asyncio.sleep(0)
    taking_up = asyncio.create_task(runs.hold(RUN_ID))
    store.free.set()
    await sealing
    with pytest.raises(Conflict):
        await taking_up
    await journal.close()
