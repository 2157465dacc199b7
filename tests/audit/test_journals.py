"""Whatever the runtime writes is clean, and whatever is not a runtime's journal is read to its end."""

import asyncio
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agentfield_journal import Envelope, open_journal
from agentfield_rt.audit import Code, audit, audit_journal
from agentfield_rt.core import records
from agentfield_rt.core.evolve import replay
from agentfield_rt.core.records import Record
from agentfield_rt.errors import Reason
from agentfield_rt.run import Context, Run, realtime_records
from tests.audit.story import CALL, RUN_ID, SESSION_ID, stored
from tests.audit.watching import audited_journals
from tests.core.test_fold import wander

GOLDEN = Path(__file__).parents[2] / "journal" / "golden"
seeds = st.integers(0, 2**32)


def history_of(seed: int) -> list[Record]:
    """Commands and outcomes at random; which output is late, only a real delivery can say."""
    return [record for record in wander(seed) if not isinstance(record, records.OutputLate)]


@settings(max_examples=200)
@given(seeds)
def test_a_history_of_any_commands_and_outcomes_is_clean(seed: int) -> None:
    history = history_of(seed)
    report = audit(stored(history) if history else [])
    assert not report.findings, report.findings


@given(seeds, st.integers(1, 80))
def test_the_auditor_finds_the_open_operations_that_the_fold_finds(seed: int, length: int) -> None:
    history = history_of(seed)[:length]
    envelopes = stored(history) if history else []
    state = replay(SESSION_ID, realtime_records(envelopes, SESSION_ID))
    assert audit(envelopes).open_operations == len(state.open_operations)


@given(seeds, seeds)
def test_sessions_that_overlap_in_one_run_do_not_disturb_each_other(one: int, other: int) -> None:
    report = audit(asyncio.run(_woven(history_of(one), history_of(other))))
    assert not report.findings, report.findings


async def _woven(one: Sequence[Record], other: Sequence[Record]) -> list[Envelope]:
    """Two sessions, batch by batch in turn."""
    async with open_journal("memory:") as journal:
        run = await Run.open(journal, RUN_ID)
        for batches in zip_longest(_batches(one, "a"), _batches(other, "b")):
            for name, batch in zip("ab", batches, strict=True):
                if batch:
                    run.append(batch, Context(session_id=name))
        await run.durable()
        return await journal.read(RUN_ID)


def _batches(history: Sequence[Record], name: str) -> list[list[Record]]:
    """One record each, but a restart is asked for and begun at once; operations are the session's own."""
    batches: list[list[Record]] = []
    for record in history:
        op_id = getattr(record, "op_id", None)
        named = record if op_id is None else replace(record, **{"op_id": f"{name}.{op_id}"})
        if isinstance(record, records.RestartStarted):
            batches[-1].append(named)
        else:
            batches.append([named])
    return batches


@pytest.mark.asyncio
async def test_two_runs_with_one_session_are_found_and_others_are_not(tmp_path: Path) -> None:
    async with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        for run_id, session_id in (("run_a", "s1"), ("run_b", "s1"), ("run_c", "s2")):
            run = await Run.open(journal, run_id)
            run.append(CALL, Context(session_id=session_id))
            await run.seal(records.RunCompleted())
            await run.release()
        report = await audit_journal(journal)
        (finding,) = report.findings
        assert (finding.code, finding.run_id) == (Code.SESSION_ID_REPEATED, "run_b")
        assert await audit_journal(journal) == report
        assert (await audit_journal(journal, run_ids=["run_c"])).clean


@pytest.mark.asyncio
async def test_what_a_second_writer_closes_names_what_the_first_one_opened() -> None:
    async with open_journal("memory:") as journal:
        first = await Run.open(journal, RUN_ID)
        first.append(
            [records.ExecutionQueued(op_id="e1", target="desk.resolve", input_ref="ref.in")], Context()
        )
        await first.release()
        second = await Run.open(journal, RUN_ID)
        second.append([records.ExecutionFailed(op_id="e1", reason=Reason.PROCESS_LOST)], Context())
        await second.seal(records.RunFailed(reason=Reason.PROCESS_LOST))
        assert (await audit_journal(journal)).clean


@pytest.mark.asyncio
async def test_a_byte_that_was_changed_is_found_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with open_journal(f"sqlite:///{path}") as journal:
        run = await Run.open(journal, RUN_ID)
        run.append(CALL, Context(session_id=SESSION_ID))
        await run.release()
    stored_bytes = path.read_bytes()
    assert stored_bytes.count(b"desk.resolve") == 1
    path.write_bytes(stored_bytes.replace(b"desk.resolve", b"desk.reserve"))
    async with open_journal(f"sqlite:///{path}", read_only=True) as journal:
        report = await audit_journal(journal)
    (finding,) = report.findings
    at = next(seq for seq, record in enumerate(CALL, 1) if isinstance(record, records.ExecutionQueued))
    assert (finding.code, finding.seq) == (Code.CHAIN_BROKEN, at)


@pytest.mark.parametrize("golden", sorted(GOLDEN.iterdir()), ids=lambda path: path.name)
def test_a_golden_journal_of_no_runtime_is_chained_and_read_to_its_end(golden: Path, tmp_path: Path) -> None:
    """Golden journals hold one of everything a record can hold, which no session would write."""
    copy = tmp_path / "journal.db"
    copy.write_bytes((golden / "journal.db").read_bytes())

    async def audited() -> tuple[set[int], int]:
        async with open_journal(f"sqlite:///{copy}", read_only=True) as journal:
            report = await audit_journal(journal)
            assert await audit_journal(journal) == report
            return {finding.code.invariant for finding in report.findings}, report.records

    invariants, count = asyncio.run(audited())
    assert not invariants & {1, 2, 5, 8, 9}, "order, identity and chain of a golden journal hold"
    assert count == len((golden / "records.jsonl").read_text().splitlines())


@pytest.mark.asyncio
async def test_a_journal_that_a_test_closes_is_audited() -> None:
    with audited_journals() as findings:
        async with open_journal("memory:") as journal:
            for run_id in ("run_a", "run_b"):
                run = await Run.open(journal, run_id)
                run.append(CALL, Context(session_id="s1"))
                await run.seal(records.RunCompleted())
                await run.release()
    assert [finding.code for finding in findings] == [Code.SESSION_ID_REPEATED]
