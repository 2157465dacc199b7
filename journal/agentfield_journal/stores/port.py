"""What a store must do: claim a run, commit a list of batches, read rows back. Knows no event loop."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import msgspec

Row: TypeAlias = tuple[int, int, bytes, bytes]
"""A record to store: the run's number in this store, seq, record bytes, hash."""

StoredRow: TypeAlias = tuple[int, bytes, bytes]
"""A record read back: seq, record bytes, hash."""


ROW_BYTES = 64
"""What a row is counted for besides its record: its hash, its numbers and what a store frames it with."""

BATCH_BYTES_MAX = 64 << 20
"""Of a store that bounds batches by nothing but memory."""


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Records of one run, appended together, stored all or none. Never empty.

    `size_bytes` is what the records have together, and `ROW_BYTES` for each. `begins`: nobody claimed the
    run; it becomes known with these records, or the batch is refused because it is known already.
    """

    run_id: str
    epoch: int
    rows: list[Row]
    size_bytes: int
    begins: bool = False


def make_batch(run_id: str, claim: "Claim", rows: Sequence["StoredRow"]) -> Batch:
    """Rows as another store has them, for the run just claimed."""
    size_bytes = sum(len(body) + ROW_BYTES for _, body, _ in rows)
    return Batch(run_id, claim.epoch, [(claim.run, *row) for row in rows], size_bytes)


Answer: TypeAlias = Callable[[list[Batch] | Exception], None]
"""Takes what became of a group: the batches that were refused, or what went wrong."""


class Claim(msgspec.Struct, frozen=True, gc=False):
    """What a new writer of a run is told. `seq` 0 and the run's genesis hash when nothing is stored yet.

    `begins`: the store does not know the run yet; see `Batch`.
    """

    run: int
    epoch: int
    seq: int
    hash: bytes
    begins: bool = False


class Position(msgspec.Struct, frozen=True, gc=False):
    """Where a store stood: its last record with that one's hash, and how often runs had left its order of
    records, for an archive or for good.

    The hash tells a journal from a copy of it that was restored: the number is another record's, or none's.
    """

    record: int
    hash: bytes
    gone: int


class Page(msgspec.Struct, frozen=True, gc=False):
    """Consecutive rows and the hash of the row before the first."""

    prev_hash: bytes
    rows: list[StoredRow]


class Store(Protocol):
    """Blocking storage. `claim`, `commit` and `tend` come from one thread, everything else from another.

    Every method may raise `JournalUnavailable` when the device or server fails. After a failed `commit` the
    engine never commits again through the same store object.
    """

    @property
    def blocking(self) -> bool:
        """Whether calls wait for a device, so that the engine must keep them off the event loop."""
        ...

    @property
    def shared(self) -> bool:
        """Whether another process may commit to it while it is open."""
        ...

    @property
    def full(self) -> bool:
        """Whether only records that close something are taken, because room runs out."""
        ...

    @property
    def batch_bytes_max(self) -> int:
        """How large a batch may be. The engine refuses larger ones: to the store they would be a failure."""
        ...

    def claim(self, run_id: str) -> Claim:
        """Make `run_id` known, raise its epoch, durably, and say where it stands."""
        ...

    def commit(self, batches: list[Batch], /) -> list[Batch]:
        """Store `batches` in order and return when they are on stable storage.

        Returns:
            The batches refused because their epoch is not the run's; the others are stored.
        """
        ...

    def tend(self) -> None:
        """Housekeeping, called between commits when nothing has waited for a while."""
        ...

    def page(self, run_id: str, after: int, limit: int) -> Page:
        """Durable rows with seq > `after` in order, at most `limit`. Empty for an unknown run."""
        ...

    def ends(self, run_id: str) -> Page:
        """The first and the last row of a run (one row if they are the same, none if there is none)."""
        ...

    def run_ids(self) -> list[str]:
        """Runs with at least one record, newest first."""
        ...

    def integrity_problems(self) -> list[str]:
        """What the storage engine finds wrong with its own structure; empty when it finds nothing."""
        ...

    def changes(self) -> int:
        """A number that differs after another process committed. Constant where that cannot happen."""
        ...

    def close(self) -> None:
        """Release what is held, the lock last. Idempotent; called when no other call is running."""
        ...


class Line(Protocol):
    """A way to a server on which several groups may be at once; never blocks the event loop that uses it."""

    def start(self) -> None:
        """From now on the running event loop hands answers over."""
        ...

    def send(self, batches: list[Batch], answer: Answer, /) -> None:
        """Send a group. Answers come in the order of groups, each when its group is on stable storage.

        After a group that failed, every later one fails too, also those already sent.
        """
        ...

    def close(self) -> None:
        """Hand over nothing more. Idempotent."""
        ...


@runtime_checkable
class PipelinedStore(Store, Protocol):
    """A store whose engine sends groups down a line instead of calling `commit` for each."""

    def line(self) -> Line | None:
        """The one line of this store; None when it is open for reading only."""
        ...


@runtime_checkable
class ClaimsTogether(Store, Protocol):
    """A store that makes many claims durable at the cost of one."""

    def claim_all(self, run_ids: Sequence[str], /) -> list[Claim]:
        """As `claim` of each, in order, but all or none.

        Raises:
            JournalConflict: one of them cannot be had, so nothing was claimed.
        """
        ...


@runtime_checkable
class BeginsRuns(Store, Protocol):
    """A store that takes the first records of a run in the transaction that makes the run known."""

    def new_run(self) -> int:
        """A number for a run that is about to begin; from any thread. One that is not used is no loss."""
        ...


@runtime_checkable
class KeepsOrder(Store, Protocol):
    """A store that keeps the order in which all its records were committed."""

    def position(self) -> Position:
        """Where it stands; from the thread that commits."""
        ...

    def runs_since(self, position: Position, /) -> list[str] | None:
        """The runs that have records after `position`; None: that is no position of this store as it is."""
        ...


@runtime_checkable
class EpochStore(Store, Protocol):
    """A store that keeps the epoch of each run's newest writer apart from the records."""

    def epochs(self) -> dict[str, int]:
        """By run. None is below an epoch in the run's records, or a new writer could get that one again."""
        ...
