"""The conformance kit: a store is done when every check passes on it.

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_store(check): await check(lambda: open_journal(url))

Each check gets a function that opens the same, at first empty, journal; it opens it one at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from agentfield_journal import codec
from agentfield_journal.engine import StoreJournal
from agentfield_journal.envelope import Cursor, Draft, Envelope
from agentfield_journal.errors import JournalConflict, JournalUnavailable
from agentfield_journal.opening import Opening
from agentfield_journal.testing.drafts import make_draft
from agentfield_journal.verification import verify

OpenAgain: TypeAlias = Callable[[], Opening[StoreJournal]]
Check: TypeAlias = Callable[[OpenAgain], Awaitable[None]]

CHECKS: list[Check] = []


class NotConforming(AssertionError):
    """The store broke the rule that the check is named after."""


def _check(function: Check) -> Check:
    CHECKS.append(function)
    return function


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise NotConforming(what)


async def _expect(error: type[Exception], awaitable: Awaitable[object], what: str) -> None:
    try:
        await awaitable
    except error:
        return
    raise NotConforming(f"{what}: expected {error.__name__}")


def _expect_refusal(error: type[Exception], call: Callable[[], object], what: str) -> None:
    try:
        call()
    except error:
        return
    raise NotConforming(f"{what}: expected {error.__name__}")


def _same_draft(draft: Draft, record: Envelope) -> bool:
    return all(getattr(draft, name) == getattr(record, name) for name in Draft.__struct_fields__)


@_check
async def sequences_count_from_one_in_each_run(open_again: OpenAgain) -> None:
    async with open_again() as journal:
        first, second = await journal.open_run("run-1"), await journal.open_run("run-2")
        _require(
            first.append([make_draft(1), make_draft(2)]) == Cursor("run-1", 2), "cursor of the first batch"
        )
        _require(second.append([make_draft(1)]) == Cursor("run-2", 1), "runs count apart")
        await first.durable(first.append([make_draft(3)]))
        await second.durable(second.head)
        for writer in (first, second):
            records = await journal.read(writer.run_id)
            numbers = [record.seq for record in records]
            _require(numbers == list(range(1, writer.head.seq + 1)), f"{numbers} has a gap or a repeat")


@_check
async def acknowledged_records_are_there_after_reopening(open_again: OpenAgain) -> None:
    drafts = [make_draft(number, payload=bytes([number]) * number) for number in range(1, 40)]
    async with open_again() as journal:
        writer = await journal.open_run("run-1")
        for draft in drafts:
            await writer.durable(writer.append([draft]))
        before = await journal.read("run-1")
    async with open_again() as journal:
        records = await journal.read("run-1")
        _require(records == before, "records changed when the journal was reopened")
        _require(all(map(_same_draft, drafts, records)), "a record differs from its draft")
        writer = await journal.open_run("run-1")
        _require(writer.append([make_draft(40)]) == Cursor("run-1", 40), "numbering does not go on")
        await writer.durable(writer.head)
        report = await verify(journal)
        _require(report.sound and report.records == 40, f"verification says {report}")


@_check
async def closing_makes_queued_records_durable(open_again: OpenAgain) -> None:
    async with open_again() as journal:
        writer = await journal.open_run("run-1")
        writer.append([make_draft(number) for number in range(1, 200)])
    async with open_again() as journal:
        _require(len(await journal.read("run-1")) == 199, "queued records were lost at close")


@_check
async def an_equal_record_is_not_stored_twice(open_again: OpenAgain) -> None:
    async with open_again() as journal:
        writer = await journal.open_run("run-1")
        first = writer.append([make_draft(1)])
        pair = writer.append([make_draft(2), make_draft(3)])
        _require(writer.append([make_draft(1)]) == first, "a queued record was appended again")
        await writer.durable(pair)
        _require(writer.append([make_draft(2), make_draft(3)]) == pair, "a stored batch was appended again")
    async with open_again() as journal:
        writer = await journal.open_run("run-1")
        _require(writer.append([make_draft(1)]) == first, "a record of an earlier life was appended again")
        _require(writer.head == pair and len(await journal.read("run-1")) == 3, "something was stored")


@_check
async def a_record_id_with_other_content_is_refused(open_again: OpenAgain) -> None:
    other = make_draft(1, payload=b"\x81\xa1n\x02")
    async with open_again() as journal:
        writer = await journal.open_run("run-1")
        await writer.durable(writer.append([make_draft(1)]))
        _expect_refusal(JournalConflict, lambda: writer.append([other]), "other content")
        _expect_refusal(JournalConflict, lambda: writer.append([make_draft(1), make_draft(2)]), "half new")
        _expect_refusal(
            JournalConflict, lambda: writer.append([make_draft(5), make_draft(5)]), "twice in one"
        )
        _require(writer.head == Cursor("run-1", 1), "a refused batch moved the head")
        await writer.durable(writer.append([make_draft(2)]))
        _require([r.seq for r in await journal.read("run-1")] == [1, 2], "a refused batch left a trace")


@_check
async def batches_of_overlapping_appenders_stay_whole(open_again: OpenAgain) -> None:
    async with open_again() as journal:
        writers = [await journal.open_run(f"run-{number % 3}") for number in range(3)]

        async def appender(number: int) -> None:
            writer = writers[number % 3]
            for turn in range(10):
                base = (number * 10 + turn) * 4
                await writer.durable(writer.append([make_draft(base + offset) for offset in range(4)]))

        await asyncio.gather(*map(appender, range(12)))
        for writer in writers:
            records = await journal.read(writer.run_id)
            _require(len(records) == 160, "records are missing")
            batches = [records[start : start + 4] for start in range(0, 160, 4)]
            for batch in batches:
                numbers = [int(record.record_id.removeprefix("record-")) for record in batch]
                _require(numbers == list(range(numbers[0], numbers[0] + 4)), "a batch was torn apart")


@_check
async def a_newer_writer_shuts_the_older_one_out(open_again: OpenAgain) -> None:
    async with open_again() as journal:
        old = await journal.open_run("run-1")
        await old.durable(old.append([make_draft(1)]))
        new = await journal.open_run("run-1")
        _require(new.epoch > old.epoch and new.head == Cursor("run-1", 1), "the claim does not follow on")

        async def append_with_old() -> None:
            await old.durable(old.append([make_draft(2)]))

        await _expect(JournalConflict, append_with_old(), "the older writer stored a record")
        await new.durable(new.append([make_draft(3)]))
        records = await journal.read("run-1")
        _require([record.record_id for record in records] == ["record-1", "record-3"], "the wrong records")
        _require([record.epoch for record in records] == [old.epoch, new.epoch], "the wrong epochs")


@_check
async def the_store_itself_refuses_a_stale_epoch(open_again: OpenAgain) -> None:
    async with open_again() as journal:
        old = await journal.open_run("run-1")
        # Claimed behind the engine's back, as another owner of the run would.
        claimed = await asyncio.to_thread(journal.store.claim, "run-1")
        _require(claimed.epoch > old.epoch, "a claim did not raise the epoch")
        await _expect(JournalConflict, old.durable(old.append([make_draft(1)])), "a stale epoch was accepted")
        _require(await journal.read("run-1") == [], "a stale record is stored")


@_check
async def a_subscriber_misses_and_repeats_nothing(open_again: OpenAgain) -> None:
    async with open_again() as journal:
        writer = await journal.open_run("run-1")
        await writer.durable(writer.append([make_draft(number) for number in range(1, 700)]))

        async def follow(after: int) -> list[int]:
            seen: list[int] = []
            async for record in journal.subscribe("run-1", after=after):
                seen.append(record.seq)
                if record.seq % 50 == 0:
                    await asyncio.sleep(0)
                if record.seq == 1000:
                    break
            return seen

        tails = [asyncio.create_task(follow(after)) for after in (0, 1, 511, 512, 699)]
        for number in range(700, 1001):
            cursor = writer.append([make_draft(number)])
            if number % 7 == 0:
                await writer.durable(cursor)
        await writer.durable(writer.head)
        for after, seen in zip((0, 1, 511, 512, 699), await asyncio.gather(*tails), strict=True):
            _require(
                seen == list(range(after + 1, 1001)), f"the tail from {after} missed or repeated records"
            )


@_check
async def a_subscription_ends_when_the_journal_closes(open_again: OpenAgain) -> None:
    async with open_again() as journal:
        writer = await journal.open_run("run-1")
        started = asyncio.Event()

        async def follow() -> int:
            count = 0
            async for _ in journal.subscribe("run-1"):
                count += 1
                started.set()
            return count

        tail = asyncio.create_task(follow())
        await writer.durable(writer.append([make_draft(1)]))
        await started.wait()
    _require(await asyncio.wait_for(tail, 5) == 1, "the tail did not end, or counted wrong")


@_check
async def reads_start_and_stop_where_asked(open_again: OpenAgain) -> None:
    async with open_again() as journal:
        writer = await journal.open_run("run-1")
        await writer.durable(writer.append([make_draft(number) for number in range(1, 1201)]))
        for after, limit in (
            (0, None),
            (0, 1),
            (5, 512),
            (5, 513),
            (1199, 10),
            (1200, None),
            (5000, None),
            (10**30, None),
            (7, 0),
        ):
            records = await journal.read("run-1", after=after, limit=limit)
            stop = 1200 if limit is None else min(1200, after + limit)
            _require(
                [r.seq for r in records] == list(range(after + 1, stop + 1)), f"after {after}, limit {limit}"
            )
        _require(await journal.read("no such run") == [], "an unknown run has records")


@_check
async def each_record_is_chained_to_the_one_before(open_again: OpenAgain) -> None:
    async with open_again() as journal:
        heads: dict[str, bytes] = {}
        for run_id in ("run-1", "run-2"):
            writer = await journal.open_run(run_id)
            await writer.durable(writer.append([make_draft(1), make_draft(2)]))
            first, second = await journal.read(run_id)
            _require(first.prev_hash == codec.genesis(run_id), "the chain does not begin with the run's name")
            _require(second.prev_hash == first.hash, "the chain is not linked")
            heads[run_id] = second.hash
        _require(heads["run-1"] != heads["run-2"], "equal records of two runs have equal hashes")
        found = {head.run_id: head.hash for head in await journal.heads()}
        _require(found == heads, "heads() differs from the records")


@_check
async def heads_list_runs_newest_first(open_again: OpenAgain) -> None:
    async with open_again() as journal:
        for run_id in ("run-b", "run-a", "run-c"):
            writer = await journal.open_run(run_id)
            await writer.durable(writer.append([make_draft(1), make_draft(2), make_draft(3)]))
        await journal.open_run("run without records")
        heads = await journal.heads()
        _require([head.run_id for head in heads] == ["run-c", "run-a", "run-b"], "the wrong runs, or order")
        times = (make_draft(1).at_ns, make_draft(3).at_ns)
        _require(all((h.first_at_ns, h.last_at_ns) == times and h.seq == 3 for h in heads), "wrong figures")


@_check
async def run_names_are_kept_apart(open_again: OpenAgain) -> None:
    names = ["run a", "run.a", "run/a", "runéa", "run*", "run>", "", "RUN A", "r" * 512, "run\x00a", "🙂"]
    async with open_again() as journal:
        for number, name in enumerate(names):
            writer = await journal.open_run(name)
            await writer.durable(writer.append([make_draft(number)]))
        _require(sorted(await journal.run_ids()) == sorted(names), "a run is missing")
        for number, name in enumerate(names):
            records = await journal.read(name)
            _require(
                [r.record_id for r in records] == [f"record-{number}"], f"run {name!r} holds other records"
            )


@_check
async def a_cancelled_wait_loses_nothing(open_again: OpenAgain) -> None:
    async with open_again() as journal:
        writer = await journal.open_run("run-1")
        waits = [
            asyncio.create_task(writer.durable(writer.append([make_draft(number)]))) for number in range(9)
        ]
        await asyncio.sleep(0)
        for wait in waits[::2]:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        await writer.durable(writer.head)
        _require(len(await journal.read("run-1")) == 9, "a record went with its waiter")


@_check
async def misuse_is_refused(open_again: OpenAgain) -> None:
    async with open_again() as journal:
        writer, other = await journal.open_run("run-1"), await journal.open_run("run-2")
        cursor = writer.append([make_draft(1)])
        _expect_refusal(ValueError, lambda: writer.append([]), "an empty batch")
        await _expect(ValueError, other.durable(cursor), "a cursor of another run")
        await _expect(ValueError, writer.durable(Cursor("run-1", 2)), "a cursor of the future")
        await writer.release()
        await writer.release()
        _expect_refusal(JournalUnavailable, lambda: writer.append([make_draft(2)]), "a released writer")
    _expect_refusal(JournalUnavailable, lambda: other.append([make_draft(2)]), "a closed journal")
    await _expect(JournalUnavailable, journal.read("run-1"), "reading a closed journal")
    await journal.close()
