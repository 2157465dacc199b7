"""One seal, asked for at the gate; waiters who are told once, never before it can be read again."""

import asyncio
import sys
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agentfield_journal import Draft, JournalUnavailable, StoreJournal, open_journal
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.stores.port import Batch
from agentfield_rt.completion import RealtimeCompletionGate, RunEnd, finished
from agentfield_rt.core import records
from agentfield_rt.core.completion import Condition
from agentfield_rt.core.records import Record
from agentfield_rt.errors import CloseReason, IllegalCommand, Reason, ReplayMismatch, RunIncomplete
from agentfield_rt.run import Context, Run
from tests.audit.story import CALL, dispatch

RUN_ID = "run_gate"
CONTEXT = Context(session_id="s1")
NEXT = len(CALL) + 1
OPEN: dict[str, tuple[Sequence[Record], Condition, str]] = {
    "a delivery": (
        [dispatch("d9", "key-9")],
        Condition.OUTPUT_DELIVERY_TERMINAL,
        f"output_dispatch_requested (seq {NEXT}, operation d9) has no outcome yet.",
    ),
    "a turn": (
        [records.TurnStarted(op_id="t9", source=records.TurnSource.TEXT, understood=True)],
        Condition.JOURNAL_TERMINAL,
        f"turn_started (seq {NEXT}, operation t9) has no outcome yet.",
    ),
    "a session": (
        [records.SessionStarted(target="a.b", provider="local", transport="websocket")],
        Condition.REALTIME_SESSIONS_TERMINAL,
        f"Session s2 began with session_started (seq {NEXT}) and has no session_ended.",
    ),
    "a connection": (
        [records.ConnectRequested(op_id="o1b"), records.Connected(op_id="o1b", connection_id="c9")],
        Condition.REALTIME_SESSIONS_TERMINAL,
        f"Session s2 is open since realtime_connected (seq {NEXT + 1}, operation o1b) and was not closed.",
    ),
}


class HeldStore(MemoryStore):
    """A disk that takes its time until it is told to go on."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.free.set()
        self.asked = threading.Event()

    def commit(self, batches: list[Batch], /) -> list[Batch]:
        self.asked.set()
        self.free.wait(20)
        return super().commit(batches)


@asynccontextmanager
async def opened(history: Sequence[Record] = CALL) -> AsyncGenerator[tuple[StoreJournal, Run]]:
    async with open_journal("memory:") as journal:
        run = await Run.open(journal, RUN_ID)
        if history:
            run.append(history, CONTEXT)
        yield journal, run


async def read(journal: StoreJournal) -> RealtimeCompletionGate:
    gate = RealtimeCompletionGate(RUN_ID)
    await gate.catch_up(journal)
    return gate


# The seal.


@pytest.mark.asyncio
@pytest.mark.parametrize("what", OPEN)
async def test_a_run_with_something_open_is_not_sealed_and_the_gate_says_why(what: str) -> None:
    more, condition, sentence = OPEN[what]
    async with opened() as (journal, run):
        run.append(more, Context(session_id="s2"))
        for last in (
            records.RunCompleted(),
            records.RunFailed(reason=Reason.INTERNAL),
            records.RunCancelled(),
        ):
            with pytest.raises(RunIncomplete) as refused:
                await run.seal(last)
            assert refused.value.unmet == (condition.value,)
            assert sentence in str(refused.value)
        assert not run.is_sealed
        assert [envelope.kind for envelope in await journal.read(RUN_ID)][-1] == more[-1].kind
        gate = await read(journal)
        assert not gate.may_seal
        assert sentence in {unmet.sentence for unmet in gate.unmet()}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("last", "outcome", "reason"),
    [
        (records.RunCompleted(), "completed", None),
        (records.RunFailed(reason=Reason.TIMEOUT), "failed", Reason.TIMEOUT),
        (records.RunCancelled(), "cancelled", None),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
async def test_a_run_ends_once_whatever_its_end(last: Record, outcome: str, reason: Reason | None) -> None:
    async with opened() as (journal, run):
        cursor = await run.seal(last)
        assert (await journal.read(RUN_ID))[-1].cursor == cursor
        assert await run.finished() == RunEnd(run_id=RUN_ID, outcome=outcome, reason=reason, cursor=cursor)
        with pytest.raises(RunIncomplete, match="ended with run_"):
            await run.seal(records.RunFailed(reason=Reason.INTERNAL))
        with pytest.raises(IllegalCommand):
            run.append([records.UtteranceStarted(utterance_id="u", response_id="r")], CONTEXT)
        assert run.head == cursor


@pytest.mark.asyncio
async def test_seals_at_the_same_time_leave_one() -> None:
    async with opened() as (journal, run):
        ends = await asyncio.gather(
            *(run.seal(records.RunFailed(reason=Reason.INTERNAL)) for _ in range(5)), return_exceptions=True
        )
        assert sum(not isinstance(end, BaseException) for end in ends) == 1
        kinds = [envelope.kind for envelope in await journal.read(RUN_ID)]
        assert kinds.count("run_failed") == 1


@pytest.mark.asyncio
async def test_what_begins_while_the_gate_is_asked_is_not_overlooked() -> None:
    store = HeldStore()
    journal = StoreJournal(store)
    run = await Run.open(journal, RUN_ID)
    store.free.clear()
    run.append(CALL, CONTEXT)
    sealing = asyncio.create_task(run.seal(records.RunCompleted()))
    await asyncio.sleep(0)  # it waits for the disk now
    run.append([dispatch("d9", "key-9")], CONTEXT)
    store.free.set()
    with pytest.raises(RunIncomplete, match="d9"):
        await sealing
    await journal.close()


@pytest.mark.asyncio
async def test_a_last_record_is_no_record_like_any_other() -> None:
    async with opened() as (_, run):
        with pytest.raises(IllegalCommand, match="run_completed"):
            run.append([records.RunCompleted()], CONTEXT)
        with pytest.raises(IllegalCommand, match="does not end a run"):
            await run.seal(records.SessionEnded(reason=CloseReason.NORMAL))


@pytest.mark.asyncio
async def test_a_sealed_run_is_still_sealed_when_it_is_opened_again() -> None:
    async with opened() as (journal, run):
        await run.seal(records.RunCompleted())
        await run.release()
        again = await Run.open(journal, RUN_ID)
        assert again.is_sealed
        with pytest.raises(RunIncomplete):
            await again.seal(records.RunCompleted())
        again.append([records.OutputDispatchReconciled(op_id="d2", decision=records.Decision.DONE)], CONTEXT)
        await again.release()
        assert (await Run.open(journal, RUN_ID)).is_sealed
        assert (await finished(journal, RUN_ID)).outcome == "completed"


@pytest.mark.asyncio
async def test_a_run_nobody_saw_anything_of_ends_as_failed_or_cancelled_only() -> None:
    async with opened([]) as (_, run):
        with pytest.raises(RunIncomplete) as refused:
            await run.seal(records.RunCompleted())
        assert refused.value.unmet == ("final_visible_output_seen",)
        await run.seal(records.RunCancelled())
        assert (await run.finished()).outcome == "cancelled"


@pytest.mark.asyncio
async def test_a_run_without_a_journal_says_that_it_needs_one() -> None:
    async with open_journal("memory:") as journal:
        run = Run(await journal.open_run(RUN_ID))
        for ask in (run.finished(), run.seal(records.RunCancelled())):
            with pytest.raises(IllegalCommand, match="not opened from a journal"):
                await ask


# The conditions.


@pytest.mark.asyncio
async def test_the_seven_conditions_are_met_one_after_the_other_by_the_journal_alone() -> None:
    async with opened([]) as (journal, run):
        gate = await read(journal)
        unmet = {condition for condition, met in gate.conditions().items() if not met}
        assert unmet == {
            Condition.FINAL_VISIBLE_OUTPUT_SEEN,
            Condition.TERMINAL_EVENT_REPLAYABLE,
            Condition.JOURNAL_TERMINAL,
        }
        run.append(CALL, CONTEXT)
        await run.durable()
        await gate.catch_up(journal)
        unmet = {condition for condition, met in gate.conditions().items() if not met}
        assert unmet == {Condition.TERMINAL_EVENT_REPLAYABLE, Condition.JOURNAL_TERMINAL}
        assert gate.may_seal
        await run.seal(records.RunCompleted())
        await gate.catch_up(journal)
        assert [one.condition for one in gate.unmet()] == [Condition.TERMINAL_EVENT_REPLAYABLE]
        assert not gate.may_resolve
        with pytest.raises(RunIncomplete):
            gate.end()
        await gate.replay_seal(journal)
        assert gate.may_resolve
        assert list(gate.conditions().values()) == [True] * 7


# Those who wait.


@pytest.mark.asyncio
async def test_nobody_is_told_before_the_last_record_is_durable() -> None:
    store = HeldStore()
    journal = StoreJournal(store)
    run = await Run.open(journal, RUN_ID)
    run.append(CALL, CONTEXT)
    await run.durable()
    waiters = [asyncio.create_task(run.finished()) for _ in range(3)]
    store.free.clear()
    store.asked.clear()
    sealing = asyncio.create_task(run.seal(records.RunCompleted()))
    assert await asyncio.to_thread(store.asked.wait, 20)
    await asyncio.sleep(0)
    assert run.is_sealed
    assert not any(task.done() for task in [*waiters, sealing])
    store.free.set()
    ends = await asyncio.gather(*waiters)
    assert {end.cursor for end in ends} == {await sealing}
    await journal.close()


@pytest.mark.asyncio
async def test_who_stops_waiting_changes_nothing_for_anybody() -> None:
    async with opened() as (journal, run):
        waiters = [asyncio.create_task(run.finished()) for _ in range(3)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await run.finished()
        await asyncio.sleep(0)
        waiters[0].cancel()
        assert not journal_tails(journal) > 3
        await run.seal(records.RunCompleted())
        ends = await asyncio.gather(*waiters, return_exceptions=True)
        assert isinstance(ends[0], asyncio.CancelledError)
        assert ends[1] == ends[2] == await run.finished()
        assert journal_tails(journal) == 0


def journal_tails(journal: StoreJournal) -> int:
    """Readers that still follow the run."""
    return len(journal._tails._by_run.get(RUN_ID, ()))  # pyright: ignore[reportPrivateUsage]


@pytest.mark.asyncio
async def test_those_who_wait_hear_that_the_journal_was_closed() -> None:
    async with open_journal("memory:") as journal:
        run = await Run.open(journal, RUN_ID)
        run.append(CALL, CONTEXT)
        waiting = asyncio.create_task(run.finished())
        await asyncio.sleep(0)
    with pytest.raises(JournalUnavailable, match="before run run_gate had ended"):
        await waiting


@pytest.mark.asyncio
async def test_a_last_record_that_says_too_much_resolves_nobody() -> None:
    async with open_journal("memory:") as journal:
        writer = await journal.open_run(RUN_ID)
        run = Run(writer)
        run.append([*CALL, dispatch("d9", "key-9")], CONTEXT)
        await writer.durable(writer.append([Draft(record_id="forged", kind="run_completed", at_ns=0)]))
        with pytest.raises(RunIncomplete) as refused:
            await finished(journal, RUN_ID)
        assert refused.value.unmet == ("output_delivery_terminal",)


@pytest.mark.asyncio
async def test_two_last_records_are_no_end() -> None:
    async with open_journal("memory:") as journal:
        writer = await journal.open_run(RUN_ID)
        Run(writer).append(CALL, CONTEXT)
        drafts = [Draft(record_id=name, kind="run_completed", at_ns=0) for name in ("one", "two")]
        await writer.durable(writer.append(drafts))
        with pytest.raises(ReplayMismatch):
            await finished(journal, RUN_ID)


_WRITER = """
import asyncio, sys
from agentfield_journal import open_journal
from agentfield_rt.core import records
from agentfield_rt.run import Context, Run
from tests.audit.story import CALL

async def main():
    async with open_journal(sys.argv[1]) as journal:
        run = await Run.open(journal, "run_gate")
        run.append(CALL, Context(session_id="s1"))
        await run.durable()
        print("written", flush=True)
        sys.stdin.readline()
        await run.seal(records.RunCompleted())
        await run.release()

asyncio.run(main())
"""


@pytest.mark.asyncio
async def test_another_process_hears_of_the_end(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _WRITER, url),
        cwd=Path(__file__).parents[2],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    assert await process.stdout.readline() == b"written\n"
    async with open_journal(url, read_only=True) as journal:
        waiting = asyncio.create_task(finished(journal, RUN_ID))
        await asyncio.sleep(0)
        assert not waiting.done()
        process.stdin.write(b"end it\n")
        end = await asyncio.wait_for(waiting, 20)
    assert (end.outcome, end.cursor.seq) == ("completed", len(CALL) + 1)
    assert await process.wait() == 0
