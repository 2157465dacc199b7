"""Read and check a journal file with nothing but Python's standard library: `read_journal.py FILE [RUN]`.

It shows that FORMAT.md is enough to write a reader in any language.
"""

import json
import sqlite3
import struct
import sys
from collections.abc import Iterator
from hashlib import sha256
from typing import Any


def unpack(data: bytes, at: int = 0) -> tuple[Any, int]:
    """One msgpack value and the position behind it."""
    tag = data[at]
    at += 1
    if tag < 0x80 or tag >= 0xE0:
        return (tag if tag < 0x80 else tag - 256), at
    if tag in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[tag], at
    if numbers := {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}.get(tag) or {
        0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}.get(tag):  # fmt: skip
        return struct.unpack_from(numbers, data, at)[0], at + struct.calcsize(numbers)
    if tag < 0xC0:
        size, kind = (tag & 0x1F, "str") if tag >= 0xA0 else (tag & 0x0F, "list" if tag >= 0x90 else "map")
    else:
        kind, form = {0xC4: ("bin", ">B"), 0xC5: ("bin", ">H"), 0xC6: ("bin", ">I"), 0xD9: ("str", ">B"),
                      0xDA: ("str", ">H"), 0xDB: ("str", ">I"), 0xDC: ("list", ">H"), 0xDD: ("list", ">I"),
                      0xDE: ("map", ">H"), 0xDF: ("map", ">I")}[tag]  # fmt: skip
        size, at = struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    if kind in ("bin", "str"):
        raw = data[at : at + size]
        return (raw if kind == "bin" else raw.decode()), at + size
    items: list[object] = []
    for _ in range(size * (2 if kind == "map" else 1)):
        item, at = unpack(data, at)
        items.append(item)
    return (items if kind == "list" else dict(zip(items[::2], items[1::2], strict=True))), at


def records(db: sqlite3.Connection, run: int, run_id: str) -> Iterator[dict[str, Any]]:
    """The records of a run in order; stops with an error at the first that does not fit its chain."""
    digest = sha256(b"agentfield-journal run\x00" + run_id.encode()).digest()
    rows = db.execute("SELECT seq, body, hash FROM records WHERE run = ? ORDER BY seq", (run,))
    for expected, (seq, body, stored) in enumerate(rows, 1):
        digest = sha256(b"\x00" + len(body).to_bytes(8, "big") + body + digest).digest()
        if seq != expected or digest != stored:
            raise SystemExit(f"run {run_id}: record {expected} is missing or was changed")
        record: dict[str, Any] = unpack(body)[0]
        yield record | {"payload": unpack(record["payload"])[0], "hash": digest.hex()}


if __name__ == "__main__":
    db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
    for run, run_id in db.execute("SELECT run, run_id FROM runs ORDER BY run").fetchall():
        if len(sys.argv) < 3 or run_id == sys.argv[2]:
            for record in records(db, run, run_id):
                sys.stdout.write(json.dumps(record, default=bytes.hex) + "\n")
