"""The PostgreSQL store conforms, and survives what can happen to a server."""

import asyncio
from collections.abc import Generator

import pytest

from agentfield_journal import JournalConflict, JournalError, JournalUnavailable, open_journal, verify
from agentfield_journal.stores.port import Batch
from agentfield_journal.testing import CHECKS, Check, make_draft
from tests.journal.servers import Server, create_database, find_program, postgres, wait_until_ready

psycopg = pytest.importorskip("psycopg")

from agentfield_journal.stores.postgres import PostgresStore  # noqa: E402  (needs psycopg)

if find_program("initdb") is None:
    pytest.skip("PostgreSQL is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    with postgres() as server:
        yield server


@pytest.fixture
def url(server: Server) -> str:
    return create_database(server)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.asyncio
async def test_the_postgres_store_conforms(check: Check, url: str) -> None:
    await check(lambda: open_journal(url))


@pytest.mark.asyncio
async def test_a_writer_of_another_process_shuts_the_older_one_out(url: str) -> None:
    async with open_journal(url) as one, open_journal(url) as other:
        old = await one.open_run("run-1")
        await old.durable(old.append([make_draft(1)]))
        new = await other.open_run("run-1")
        with pytest.raises(JournalConflict):
            await old.durable(old.append([make_draft(2)]))
        await new.durable(new.append([make_draft(3)]))
        assert [record.record_id for record in await one.read("run-1")] == ["record-1", "record-3"]


@pytest.mark.asyncio
async def test_a_tail_follows_a_writer_of_another_process(url: str) -> None:
    async with open_journal(url) as one, open_journal(url, read_only=True) as other:
        writer = await one.open_run("run-1")

        async def follow() -> list[int]:
            seen: list[int] = []
            async for record in other.subscribe("run-1"):
                seen.append(record.seq)
                if record.seq == 20:
                    break
            return seen

        tail = asyncio.create_task(follow())
        for number in range(20):
            await writer.durable(writer.append([make_draft(number)]))
        assert await asyncio.wait_for(tail, 10) == list(range(1, 21))


@pytest.mark.asyncio
async def test_a_killed_server_loses_nothing_and_the_journal_goes_on(url: str, server: Server) -> None:
    async with open_journal(url) as journal:
        writer = await journal.open_run("run-1")
        await writer.durable(writer.append([make_draft(1), make_draft(2)]))
        server.kill()
        lost = writer.append([make_draft(3)])
        with pytest.raises(JournalUnavailable, match="read before going on"):
            await writer.durable(lost)
        with pytest.raises(JournalUnavailable):
            writer.append([make_draft(4)])
    server.start()
    wait_until_ready(url, server)
    async with open_journal(url) as journal:
        writer = await journal.open_run("run-1")
        assert writer.head.seq >= 2
        await writer.durable(writer.append([make_draft(9)]))
        assert (await verify(journal)).sound


@pytest.mark.asyncio
async def test_a_connection_cut_after_the_commit_is_found_on_reopening(url: str) -> None:
    async with open_journal(url) as journal:
        writer = await journal.open_run("run-1")
        await writer.durable(writer.append([make_draft(1)]))
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        with pytest.raises(JournalUnavailable):
            await writer.durable(writer.append([make_draft(2)]))
    async with open_journal(url) as journal:
        writer = await journal.open_run("run-1")
        assert writer.append([make_draft(1)]).seq == 1
        assert writer.append([make_draft(2)]).seq == 2
        await writer.durable(writer.head)


@pytest.mark.asyncio
async def test_a_server_that_does_not_sync_is_refused(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER ROLE postgres SET synchronous_commit = off")
    try:
        with pytest.raises(JournalUnavailable, match="not durable"):
            await open_journal(url)
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER ROLE postgres RESET synchronous_commit")


@pytest.mark.asyncio
@pytest.mark.parametrize("port", ["99999", "no"])
async def test_a_port_that_is_none_reaches_no_server(port: str) -> None:
    with pytest.raises(JournalUnavailable):
        await open_journal(f"postgresql://postgres@127.0.0.1:{port}/journal")


@pytest.mark.asyncio
async def test_a_group_sent_behind_one_that_failed_is_not_stored(url: str) -> None:
    store = PostgresStore(url)
    run = store.claim("run-1").run
    line = store.line()
    assert line is not None
    line.start()
    answers: asyncio.Queue[list[Batch] | Exception] = asyncio.Queue()

    def batch(*seqs: int) -> Batch:
        return Batch("run-1", 1, [(run, seq, b"body", b"hash") for seq in seqs], 0)

    for seqs in ((1, 2), (3, 3), (4,)):
        line.send([batch(*seqs)], answers.put_nowait)
    stored, failed, behind = [await asyncio.wait_for(answers.get(), 10) for _ in range(3)]
    assert stored == []
    assert isinstance(failed, JournalConflict)
    assert isinstance(behind, JournalError)
    assert [row[0] for row in store.page("run-1", 0, 10).rows] == [1, 2]
    store.close()
