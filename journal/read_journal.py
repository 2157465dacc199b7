"""Read and check a journal file with nothing but Python's standard library: `read_journal.py FILE [RUN]`.

It shows that FORMAT.md is enough to write a reader in any language.
"""

import json
import sqlite3
import struct
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
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


def opened(path: Path) -> sqlite3.Connection:
    """The journal file at `path`, for reading."""
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    marks = db.execute("SELECT * FROM pragma_application_id, pragma_user_version").fetchone()
    if marks != (0x41464A31, 1):
        raise SystemExit(f"{path} is no journal, or has a newer format")
    return db


def records(db: sqlite3.Connection, run_id: str) -> Iterator[dict[str, Any]]:
    """The records of a run in order; stops with an error at the first that does not fit its chain."""
    digest = sha256(b"agentfield-journal run\x00" + run_id.encode()).digest()
    rows = "SELECT seq, body, hash FROM runs JOIN records USING (run) WHERE run_id = ? ORDER BY seq"
    for expected, (seq, body, stored) in enumerate(db.execute(rows, (run_id,)), 1):
        digest = sha256(b"\x00" + len(body).to_bytes(8, "big") + body + digest).digest()
        if seq != expected or digest != stored or (record := unpack(body)[0])["format"] > 1:
            raise SystemExit(
                f"run {run_id}: record {expected} is missing, was changed, or has a newer format"
            )
        yield record | {"payload": unpack(record["payload"])[0], "hash": digest.hex()}


if __name__ == "__main__":
    path, *wanted = Path(sys.argv[1]), *sys.argv[2:]
    here = "SELECT run_id, file FROM runs LEFT JOIN archives USING (run) WHERE file NOT NULL OR seq IS NULL"
    runs = dict(opened(path).execute(f"{here} ORDER BY run"))
    for run_id in wanted or runs:
        if run_id not in runs:
            raise SystemExit(f"there is no run {run_id}, or it has expired")
        for record in records(opened(path.with_name(runs[run_id] or path.name)), run_id):
            sys.stdout.write(json.dumps(record, default=bytes.hex) + "\n")
