"""What a group of writes comes to, the same for every place that keeps memory. Pure; sees sealed bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from agentfield_journal import JournalError


class Row(NamedTuple):
    """A sealed value or vector as it is stored. `name` is a keyed hash of its key."""

    name: bytes
    sealed: bytes
    created_at_ns: int
    updated_at_ns: int


class Limits(NamedTuple):
    """How much one drawer takes."""

    rows_max: int
    bytes_max: int


@dataclass(slots=True)
class Drawer:
    """The values, or the vectors, of one section.

    Attributes:
        key_ref: Where the content store has the key that they are sealed with.
    """

    number: int
    key_ref: str
    rows: int = 0
    bytes: int = 0


class WriteOutcome(StrEnum):
    """What became of a write."""

    DONE = "done"
    NOTHING = "nothing"
    """There was nothing to delete."""
    STALE = "stale"
    """It was sealed with a key that is not the drawer's any more: seal it anew."""
    FULL = "full"


@dataclass(slots=True, eq=False)
class Write:
    """A row to be stored, or deleted when `sealed` is None.

    Attributes:
        tag: The drawer's name, a keyed hash.
        outcome: Set by the place, and `row` and `previous` with it.
        error: Set instead when the place could not; it may next time.
    """

    tag: bytes
    key_ref: str
    name: bytes
    sealed: bytes | None = field(repr=False)
    at_ns: int
    limits: Limits
    outcome: WriteOutcome = WriteOutcome.NOTHING
    row: Row | None = None
    previous: Row | None = None
    error: JournalError | None = None


RowKey = tuple[bytes, bytes]
"""A drawer's tag, a row's name."""


@dataclass(slots=True)
class Folded:
    """What is to be stored so that a group of writes was done in its order."""

    stored: dict[RowKey, Row] = field(default_factory=dict[RowKey, Row])
    deleted: set[RowKey] = field(default_factory=set[RowKey])
    drawers: set[bytes] = field(default_factory=set[bytes])
    """Those whose size changed."""


def fold(group: Sequence[Write], drawers: dict[bytes, Drawer], rows: dict[RowKey, Row]) -> Folded:
    """Decide each write of a group, given what is stored. Changes the writes, `drawers` and `rows`."""
    folded = Folded()
    for write in group:
        key = (write.tag, write.name)
        drawer, previous = drawers.get(write.tag), rows.get(key)
        write.previous = write.row = None
        write.outcome = _decide(write, drawer, previous)
        if write.outcome is not WriteOutcome.DONE or drawer is None:
            continue
        write.previous = previous
        if previous is not None:
            drawer.rows -= 1
            drawer.bytes -= len(previous.sealed)
        if write.sealed is None:
            del rows[key]
            folded.stored.pop(key, None)
            folded.deleted.add(key)
        else:
            created_at_ns = write.at_ns if previous is None else previous.created_at_ns
            write.row = rows[key] = Row(write.name, write.sealed, created_at_ns, write.at_ns)
            folded.deleted.discard(key)
            folded.stored[key] = write.row
            drawer.rows += 1
            drawer.bytes += len(write.sealed)
        folded.drawers.add(write.tag)
    return folded


def _decide(write: Write, drawer: Drawer | None, previous: Row | None) -> WriteOutcome:
    if drawer is None or drawer.key_ref != write.key_ref:
        return WriteOutcome.STALE
    if write.sealed is None:
        return WriteOutcome.NOTHING if previous is None else WriteOutcome.DONE
    freed_bytes = 0 if previous is None else len(previous.sealed)
    grows = previous is None or len(write.sealed) > freed_bytes  # what is full can still be made smaller
    over_rows = previous is None and drawer.rows >= write.limits.rows_max
    over_bytes = drawer.bytes - freed_bytes + len(write.sealed) > write.limits.bytes_max
    return WriteOutcome.FULL if grows and (over_rows or over_bytes) else WriteOutcome.DONE
