"""Exports for analysis take any record that a journal takes, and leave a whole file or none."""

import json
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from agentfield_journal import Draft, JournalCorrupt, StoreJournal, open_journal
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.testing import make_draft
from agentfield_journal.tools import export_json_lines, export_parquet

encode = msgspec.msgpack.encode

Export = Callable[[StoreJournal, Path], Awaitable[int]]

EXPECTED: list[tuple[bytes, object]] = [
    (b"", ""),
    (b"\xc1", "c1"),
    (encode("text"), "text"),
    (encode({b"\x01k": {2: [b"v", None, True]}}), {"016b": {"2": ["76", None, True]}}),
    (encode({"a": msgspec.msgpack.Ext(5, b"x")}), {"a": {"ext": 5, "data": "78"}}),
    (encode(datetime(2026, 11, 21, tzinfo=UTC)), "2026-11-21T00:00:00+00:00"),
    (encode([float("nan"), float("-inf"), 0.5]), [None, None, 0.5]),
    (b"\x91" * 5_000 + b"\x90", (b"\x91" * 5_000 + b"\x90").hex()),
]


@pytest.mark.asyncio
async def test_any_payload_is_exported_as_json(tmp_path: Path) -> None:
    async with open_journal("memory:") as journal:
        writer = await journal.open_run("run-1")
        drafts = [
            Draft(record_id=str(n), kind="any", at_ns=1, payload=p) for n, (p, _) in enumerate(EXPECTED)
        ]
        await writer.durable(writer.append(drafts))
        assert await export_json_lines(journal, tmp_path / "lines") == len(EXPECTED)
        lines = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
        assert [line["payload"] for line in lines] == [expected for _, expected in EXPECTED]
        parquet = pytest.importorskip("pyarrow.parquet")
        assert await export_parquet(journal, tmp_path / "table") == len(EXPECTED)
        rows = parquet.read_table(tmp_path / "table").to_pylist()
        assert [json.loads(row["payload"]) for row in rows] == [expected for _, expected in EXPECTED]


@pytest.mark.asyncio
@pytest.mark.parametrize("export", [export_json_lines, export_parquet])
async def test_an_export_that_meets_a_damaged_record_leaves_no_file(tmp_path: Path, export: Export) -> None:
    if export is export_parquet:
        pytest.importorskip("pyarrow")
    store = MemoryStore()
    journal = StoreJournal(store)
    for run_id in ("run-1", "run-2"):
        writer = await journal.open_run(run_id)
        await writer.durable(writer.append([make_draft(1)]))
    store._rows["run-1"][0] = (1, b"", bytes(32))  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(JournalCorrupt):
        await export(journal, tmp_path / "out")
    assert os.listdir(tmp_path) == []
    await journal.close()
