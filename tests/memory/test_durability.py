"""What was acknowledged is there after a kill; a server that goes away and comes back is only a pause."""

import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from agentfield_journal import JournalUnavailable
from agentfield_rt.memory import Where
from agentfield_rt.plane.memory.postgres import PostgresMemory
from tests.memory.conftest import opener_of

EVERYWHERE = Where()


@contextmanager
def running(data: Path) -> Generator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "tests.memory.killed_server", str(data)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield process, found[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    with running(tmp_path) as (process, url), httpx.Client(base_url=url) as client:
        for number in range(40):
            key = f"key {number}"
            kept = client.post("/api/v1/memory/set", json={"key": key, "data": number})
            assert kept.status_code == 200
            acknowledged.append(key)
        process.send_signal(signal.SIGKILL)
    with running(tmp_path) as (_, url):
        listed = httpx.get(f"{url}/api/v1/memory/list", params={"scope": "global"}).json()
    assert {each["key"] for each in listed} == set(acknowledged)


@pytest.mark.asyncio
async def test_a_lost_connection_is_replaced(postgres_url: str, tmp_path: Path) -> None:
    async with opener_of(postgres_url, tmp_path)() as (memory, _):
        await memory.set(EVERYWHERE, "key", b"1")
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        entry = await memory.get(EVERYWHERE, "key")
        assert entry is not None
        await memory.set(EVERYWHERE, "key", b"2")
        assert await memory.delete(EVERYWHERE, "key")


@pytest.mark.asyncio
async def test_a_server_that_is_stuck_fails_what_is_under_way_and_no_more(
    postgres_url: str, tmp_path: Path
) -> None:
    async with opener_of(postgres_url, tmp_path)() as (memory, _):
        await memory.set(EVERYWHERE, "key", b"1")
        with psycopg.connect(postgres_url) as connection:
            connection.execute("LOCK TABLE agentfield_memory.entries")
            with pytest.raises(JournalUnavailable):
                await memory.set(EVERYWHERE, "key", b"2")
        await memory.set(EVERYWHERE, "key", b"3")
        entry = await memory.get(EVERYWHERE, "key")
        assert entry is not None
        assert entry.data == b"3"


def test_a_server_that_does_not_sync_is_refused(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        database = connection.info.dbname
        connection.execute(f"ALTER DATABASE {database} SET synchronous_commit = off".encode())
        try:
            with pytest.raises(JournalUnavailable, match="not durable"):
                PostgresMemory(postgres_url)
        finally:
            connection.execute(f"ALTER DATABASE {database} RESET synchronous_commit".encode())


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailable, match="is it running, and are the host") as refusal:
        PostgresMemory("postgresql://nobody:secret@127.0.0.1:9/none")
    assert "secret" not in str(refusal.value)
