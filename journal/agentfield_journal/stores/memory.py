"""Records in a process's memory: durable for as long as the process lives. The reference for other stores."""

from agentfield_journal.codec import genesis
from agentfield_journal.stores.port import BATCH_BYTES_MAX, Batch, Claim, Page, StoredRow


class MemoryStore:
    """Lists of rows by run. Never waits, so the engine commits on the event loop itself."""

    blocking = False
    shared = False
    full = False
    batch_bytes_max = BATCH_BYTES_MAX

    def __init__(self) -> None:
        self._rows: dict[str, list[StoredRow]] = {}
        self._epochs: dict[str, int] = {}

    def claim(self, run_id: str) -> Claim:
        rows = self._rows.setdefault(run_id, [])
        epoch = self._epochs[run_id] = self._epochs.get(run_id, 0) + 1
        seq, digest = (rows[-1][0], rows[-1][2]) if rows else (0, genesis(run_id))
        return Claim(run=0, epoch=epoch, seq=seq, hash=digest)

    def new_run(self) -> int:
        return 0

    def commit(self, batches: list[Batch], /) -> list[Batch]:
        refused: list[Batch] = []
        for batch in batches:
            if batch.begins and batch.run_id not in self._epochs:
                self.claim(batch.run_id)
            elif batch.begins or batch.epoch != self._epochs.get(batch.run_id):
                refused.append(batch)
                continue
            self._rows[batch.run_id].extend([row[1:] for row in batch.rows])
        return refused

    def tend(self) -> None:
        """Nothing to do."""

    def page(self, run_id: str, after: int, limit: int) -> Page:
        rows = self._rows.get(run_id, [])
        prev_hash = rows[after - 1][2] if 0 < after <= len(rows) else genesis(run_id)
        return Page(prev_hash, rows[after : after + limit])

    def ends(self, run_id: str) -> Page:
        rows = self._rows.get(run_id, [])
        return Page(genesis(run_id), rows[:1] + rows[1:][-1:])

    def run_ids(self) -> list[str]:
        return [run_id for run_id, rows in reversed(self._rows.items()) if rows]

    def integrity_problems(self) -> list[str]:
        return []

    def changes(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing is held; the rows go with the object."""
