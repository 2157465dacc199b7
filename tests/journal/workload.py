"""Workloads over a store without threads: what a crash or fault test runs, and what it may rely on after."""

from collections.abc import Iterable
from pathlib import Path

from agentfield_journal import codec
from agentfield_journal.stores.port import Batch, Store, StoredRow, make_batch
from agentfield_journal.stores.sqlite import SqliteStore
from agentfield_journal.testing import make_draft
from agentfield_journal.testing.disk import Disk

Promise = dict[str, int]
History = dict[str, list[tuple[int, bytes, bytes]]]


class Ledger:
    """Writes batches to a store and remembers what was written and what was acknowledged."""

    def __init__(self, disk: Disk | None = None) -> None:
        self.history: History = {}
        self.ends: dict[str, list[int]] = {}
        self.acknowledged: Promise = {}
        self._disk = disk

    def resume(self, store: Store) -> None:
        """Take what the store holds as the past; what it lost was never acknowledged."""
        for run_id, rows in self.history.items():
            stored = len(store.page(run_id, 0, 1_000_000).rows)
            del rows[stored:]
            self.ends[run_id] = [end for end in self.ends[run_id] if end <= stored]

    def group(self, store: Store, runs: Iterable[tuple[str, int]], *, payload_bytes: int = 40) -> None:
        """Commit one group: for each run, claimed if need be, a batch of so many records."""
        batches = [self._batch(store, run_id, count, payload_bytes) for run_id, count in runs]
        assert store.commit(batches) == []
        for batch in batches:
            self.acknowledged[batch.run_id] = batch.rows[-1][1]
        if self._disk is not None:
            self._disk.mark(dict(self.acknowledged))

    def _batch(self, store: Store, run_id: str, count: int, payload_bytes: int) -> Batch:
        claim = store.claim(run_id)
        rows = self.history.setdefault(run_id, [])
        seq, digest = claim.seq, claim.hash
        head = codec.record_head(run_id, claim.epoch)
        batch: list[StoredRow] = []
        for _ in range(count):
            seq += 1
            draft = make_draft(seq, payload=bytes([seq % 251]) * payload_bytes)
            body = head + seq.to_bytes(8, "big") + codec.encode_draft(draft)
            digest = codec.link(body, digest)
            batch.append((seq, body, digest))
        rows += batch
        self.ends.setdefault(run_id, [0]).append(seq)
        return make_batch(run_id, claim, batch)

    def check(self, store: Store, promise: Promise) -> None:
        """What is stored begins each run's history, holds what was promised, cuts no batch, is chained."""
        for run_id in set(store.run_ids()) | set(promise):
            page = store.page(run_id, 0, 1_000_000)
            assert page.rows == self.history[run_id][: len(page.rows)]
            assert len(page.rows) >= promise.get(run_id, 0), f"{run_id} lost acknowledged records"
            assert len(page.rows) in self.ends[run_id], "half a batch is shown"
            codec.check(run_id, 0, page.prev_hash, page.rows)


def appends(store: SqliteStore, ledger: Ledger) -> None:
    """Small and larger groups of several runs, with moves of the log into the main file between them."""
    for turn in range(30):
        ledger.group(
            store, [(f"run-{turn % 3}", 1 + turn % 3), ("run-9", 2)], payload_bytes=40 + 60 * (turn % 4)
        )
        if turn % 7 == 3:
            store.file.move_log()
    ledger.group(store, [("run-1", 3)], payload_bytes=9_000)


def reopenings(path: Path, vfs: str, ledger: Ledger) -> None:
    """Seven lives of one file."""
    for life in range(7):
        store = SqliteStore(path, vfs=vfs)
        for turn in range(5):
            ledger.group(store, [(f"run-{life}", 2), ("run-9", 1)])
            if turn == 1:
                store.file.empty_log()
        store.close()


def archivings(store: SqliteStore, ledger: Ledger) -> None:
    """Finished runs leave for archive files while others go on."""
    for turn in range(6):
        ledger.group(store, [(f"run-{turn}", 4), ("run-9", 1)], payload_bytes=300)
        ledger.group(store, [(f"run-{turn}", 2), ("run-9", 1)])
        copied = store.copy_to_archive([f"run-{turn}"])
        assert copied is not None
        ledger.group(store, [("run-9", 2)])
        store.leave(f"run-{turn}", copied[0].name)
        ledger.group(store, [("run-9", 1)])
