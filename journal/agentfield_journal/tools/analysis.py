"""Journals as data: figures, JSON lines, Parquet. Payloads are decoded; content stays behind its refs."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from agentfield_journal.engine import StoreJournal
from agentfield_journal.envelope import Envelope
from agentfield_journal.errors import JournalUnavailable

_PAGE_RECORDS = 2_000
_ROW_GROUP_RECORDS = 50_000

Progress = Callable[[int], None]


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a journal; `kinds` counts records by kind, `payload_bytes` sums their payloads."""

    runs: int
    records: int
    payload_bytes: int
    kinds: dict[str, int]
    open_operations: int


async def measure(journal: StoreJournal, *, progress: Progress | None = None) -> Stats:
    """Count what a journal holds. An operation is open when its opener has no closer."""
    kinds: Counter[str] = Counter()
    openers: dict[tuple[str, str], int] = {}
    payload_bytes = 0
    run_ids = await journal.run_ids()
    async for record in _all_records(journal, run_ids, progress):
        kinds[record.kind] += 1
        payload_bytes += len(record.payload)
        if record.op_id is not None:
            if record.request_record_id is None:
                openers[record.run_id, record.op_id] = record.seq
            else:
                openers.pop((record.run_id, record.op_id), None)
    return Stats(
        runs=len(run_ids),
        records=kinds.total(),
        payload_bytes=payload_bytes,
        kinds=dict(kinds.most_common()),
        open_operations=len(openers),
    )


async def _all_records(
    journal: StoreJournal, run_ids: Sequence[str], progress: Progress | None
) -> AsyncIterator[Envelope]:
    done = 0
    for run_id in run_ids:
        after = 0
        while page := await journal.read(run_id, after=after, limit=_PAGE_RECORDS):
            for record in page:
                yield record
            after = page[-1].seq
            done += len(page)
            if progress is not None:
                progress(done)


def as_plain(record: Envelope) -> dict[str, object]:
    """A record as JSON types: the payload decoded (in hex if it is no msgpack), bytes and hashes in hex."""
    plain: dict[str, object] = msgspec.to_builtins(record, builtin_types=(bytes,))
    try:
        plain["payload"] = _as_json(msgspec.msgpack.decode(record.payload))
    except (msgspec.MsgspecError, RecursionError):
        """It stays bytes."""
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in plain.items()}


def _as_json(value: object) -> object:
    """What msgpack can hold and JSON cannot becomes text, or for an extension its parts."""
    match value:
        case dict():
            items = cast(dict[object, object], value).items()
            return {name if isinstance(name, str) else _as_name(name): _as_json(item) for name, item in items}
        case list():
            return [_as_json(item) for item in cast(list[object], value)]
        case bytes():
            return value.hex()
        case msgspec.msgpack.Ext():
            return {"ext": value.code, "data": bytes(value.data).hex()}
        case datetime():
            return value.isoformat()
        case _:
            return None if isinstance(value, float) and not isfinite(value) else value


def _as_name(key: object) -> str:
    return key.hex() if isinstance(key, bytes) else str(key)


@contextmanager
def _new_file(path: Path) -> Generator[BinaryIO]:
    """`path`, which must not exist, for writing; nothing of it stays when that goes wrong."""
    with path.open("xb") as file:
        try:
            yield file
        except BaseException:
            path.unlink(missing_ok=True)
            raise


async def export_json_lines(
    journal: StoreJournal,
    path: Path,
    *,
    run_ids: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> int:
    """Write records as JSON, one a line, and return their number. `path` must not exist."""
    chosen = run_ids if run_ids is not None else await journal.run_ids()
    count = 0
    with _new_file(path) as file:
        async for record in _all_records(journal, chosen, progress):
            file.write(json.dumps(as_plain(record)).encode() + b"\n")
            count += 1
    return count


async def export_parquet(
    journal: StoreJournal,
    path: Path,
    *,
    run_ids: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> int:
    """Write records as one Parquet table, payloads as JSON text, and return their number.

    `path` must not exist. Needs `pip install agentfield-rt[parquet]`.
    """
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise JournalUnavailable(
            "Parquet needs `pip install agentfield-rt[parquet]`; or export JSON lines"
        ) from error
    schema = arrow.schema([(name, _arrow_type(arrow, name)) for name in Envelope.__struct_fields__])
    chosen = run_ids if run_ids is not None else await journal.run_ids()
    count = 0
    rows: list[dict[str, object]] = []
    with _new_file(path) as file, parquet.ParquetWriter(file, schema) as writer:
        async for record in _all_records(journal, chosen, progress):
            plain = as_plain(record)
            rows.append(plain | {"payload": json.dumps(plain["payload"])})
            count += 1
            if len(rows) == _ROW_GROUP_RECORDS:
                writer.write_table(arrow.Table.from_pylist(rows, schema))
                rows.clear()
        writer.write_table(arrow.Table.from_pylist(rows, schema))
    return count


def _arrow_type(arrow: Any, field: str) -> Any:
    """The column of an envelope's field: named by it, or text."""
    if field in ("seq", "epoch", "at_ns", "version"):
        return arrow.int64()
    return arrow.list_(arrow.string()) if field in ("causal_refs", "content_refs") else arrow.string()
