"""The proofs bite: each bug that a journal must not have, planted, turns one of them red."""

# A bug is planted inside the classes, so this file reaches where no other may.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from agentfield_journal import JournalError, codec, open_journal
from agentfield_journal.group import GroupCommit
from agentfield_journal.stores import sqlite_file
from agentfield_journal.stores.port import Batch
from agentfield_journal.stores.sqlite import SqliteStore
from agentfield_journal.testing import CHECKS
from agentfield_journal.writer import StoreRunWriter
from tests.journal.folders import memory_folder
from tests.journal.test_checkpoints import (
    test_a_group_is_acknowledged_before_the_log_is_moved as acknowledgement_proof,
)
from tests.journal.test_checkpoints import (
    test_the_log_stays_in_its_room_however_busy_the_writers_are as bound_proof,
)
from tests.journal.test_crash_states import check_workload, run_appends, run_reopenings
from tests.journal.test_engine import (
    test_a_failed_commit_poisons_the_journal_and_reopening_goes_on as poisoning_proof,
)
from tests.journal.test_engine import (
    test_a_hanging_disk_blocks_neither_the_loop_nor_those_who_wait as hanging_proof,
)
from tests.journal.test_golden import (
    test_records_are_encoded_today_as_in_the_golden_journal as golden_proof,
)
from tests.planting import Plant, noticed

Proof = Callable[[Path], None]


def acknowledge_early(patch: pytest.MonkeyPatch) -> None:
    commit = GroupCommit._commit_in_thread

    def early(self: GroupCommit[Batch], group: list[Batch]) -> None:
        self._post(lambda: self._listener.committed(group, []))
        commit(self, group)

    patch.setattr(GroupCommit, "_commit_in_thread", early)


def sync_only_at_checkpoints(patch: pytest.MonkeyPatch) -> None:
    settings = tuple(setting.replace("= FULL", "= NORMAL") for setting in sqlite_file._SETTINGS)
    patch.setattr(sqlite_file, "_SETTINGS", settings)


def try_a_failed_commit_again(patch: pytest.MonkeyPatch) -> None:
    commit = GroupCommit._commit_here

    def twice(self: GroupCommit[Batch], group: list[Batch]) -> None:
        try:
            self._sink.commit(group)
        except OSError:
            commit(self, group)
        else:
            self._group_done(group, [])

    patch.setattr(GroupCommit, "_commit_here", twice)


def accept_a_stale_epoch(patch: pytest.MonkeyPatch) -> None:
    claim_all = SqliteStore.claim_all

    def forgetful(self: SqliteStore, run_ids: Sequence[str]) -> object:
        before = dict(self._open_runs)
        found = claim_all(self, run_ids)
        self._open_runs |= before
        return found

    patch.setattr(SqliteStore, "claim_all", forgetful)


def reuse_a_sequence(patch: pytest.MonkeyPatch) -> None:
    append = StoreRunWriter.append

    def again(self: StoreRunWriter, drafts: list[object]) -> object:
        seq, digest = self._seq, self._hash
        cursor = append(self, drafts)  # type: ignore[arg-type]  # as the real one is called
        if seq == 1:
            self._seq, self._hash = seq, digest
        return cursor

    patch.setattr(StoreRunWriter, "append", again)


def chain_over_encoded_again_bytes(patch: pytest.MonkeyPatch) -> None:
    link = codec.link

    def again(body: bytes, prev_hash: bytes) -> bytes:
        return link(msgspec.msgpack.encode(msgspec.msgpack.decode(body)), prev_hash)

    patch.setattr(codec, "link", again)


def tear_batches_apart(patch: pytest.MonkeyPatch) -> None:
    commit = SqliteStore.commit

    def one_by_one(self: SqliteStore, batches: list[Batch], /) -> list[Batch]:
        single = [Batch(batch.run_id, batch.epoch, [row], 0) for batch in batches for row in batch.rows]
        return [refused for batch in single for refused in commit(self, [batch])]

    patch.setattr(SqliteStore, "commit", one_by_one)


def move_the_log_before_acknowledging(patch: pytest.MonkeyPatch) -> None:
    done = GroupCommit._group_done

    def last(self: GroupCommit[Batch], group: list[Batch], refused: list[Batch]) -> None:
        self._jobs.put(lambda: self._post(lambda: done(self, group, refused)))

    patch.setattr(GroupCommit, "_group_done", last)


def move_the_log_only_when_idle(patch: pytest.MonkeyPatch) -> None:
    def not_now(self: SqliteStore, *, waiting: bool) -> None: ...

    patch.setattr(SqliteStore, "after_acknowledgement", not_now)


def crash_states_hold(folder: Path) -> None:
    check_workload(run_appends, folder, states_max=2_500)
    check_workload(run_reopenings, folder, states_max=500)


def sqlite_conforms(folder: Path) -> None:
    for check in CHECKS:
        path = Path(tempfile.mkdtemp(dir=folder)) / "journal.db"
        asyncio.run(_run(check, path))


async def _run(check: Callable[..., object], path: Path) -> None:
    await asyncio.wait_for(check(lambda: open_journal(f"sqlite:///{path}")), 10)  # type: ignore[arg-type]


def acknowledgement_waits(folder: Path) -> None:
    asyncio.run(hanging_proof())


def acknowledgement_comes_first(folder: Path) -> None:
    asyncio.run(acknowledgement_proof())


def log_is_bounded(folder: Path) -> None:
    bound_proof(folder)


def failed_commits_are_final(folder: Path) -> None:
    asyncio.run(poisoning_proof(False))


def bytes_are_chained_as_stored(folder: Path) -> None:
    asyncio.run(golden_proof(folder))


@pytest.mark.parametrize(
    ("plant", "proof"),
    [
        (acknowledge_early, acknowledgement_waits),
        (sync_only_at_checkpoints, crash_states_hold),
        (try_a_failed_commit_again, failed_commits_are_final),
        (accept_a_stale_epoch, sqlite_conforms),
        (reuse_a_sequence, sqlite_conforms),
        (chain_over_encoded_again_bytes, bytes_are_chained_as_stored),
        (tear_batches_apart, crash_states_hold),
        (move_the_log_before_acknowledging, acknowledgement_comes_first),
        (move_the_log_only_when_idle, log_is_bounded),
    ],
    ids=lambda function: function.__name__,
)
def test_a_planted_bug_is_found(plant: Plant, proof: Proof, monkeypatch: pytest.MonkeyPatch) -> None:
    red = (AssertionError, JournalError, TimeoutError, ValueError, pytest.fail.Exception)
    with memory_folder() as folder, noticed(plant, monkeypatch, *red):
        proof(folder)
