"""The real process, seen by the kernel: an acknowledgement leaves after the sync of its record returned."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, os, sys
from agentfield_journal import open_journal
from agentfield_journal.testing import make_draft

async def main():
    async with open_journal(sys.argv[1]) as journal:
        writer = await journal.open_run("run-1")
        for number in range(20):
            await writer.durable(writer.append([make_draft(number, payload=b"MARK%04d" % number)]))
            os.write(1, b"ACK%04d" % number)

asyncio.run(main())
"""


def can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_trace(), reason="strace is missing or not allowed here")
def test_every_acknowledgement_follows_the_sync_of_its_record(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    watched = "trace=pwrite64,write,fdatasync,fsync"
    command = ["strace", "-f", "-y", "-s", "5000", "-e", watched, "-o", str(trace)]
    url = f"sqlite:///{tmp_path}/journal.db"
    subprocess.run([*command, sys.executable, "-c", PROGRAM, url], check=True, stdout=subprocess.DEVNULL)
    unsynced: set[str] = set()
    synced: set[str] = set()
    acknowledged: list[str] = []
    for line in trace.read_text(errors="replace").splitlines():
        if "pwrite64" in line and "-wal>" in line:
            unsynced.update(re.findall(r"MARK(\d{4})", line))
        elif re.search(r"f(data)?sync(\(.*-wal>\)| resumed).* = 0$", line):
            synced |= unsynced
        for number in re.findall(r'write\(1.*"ACK(\d{4})"', line):
            assert number in synced, f"record {number} was acknowledged before its sync"
            acknowledged.append(number)
    assert len(acknowledged) == 20
