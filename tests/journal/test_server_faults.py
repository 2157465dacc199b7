"""Connections cut at any message, servers restarted: nothing acknowledged is lost, nothing stored twice."""

import asyncio
import re
from collections.abc import Callable, Generator

import pytest

from agentfield_journal import (
    JournalError,
    JournalUnavailable,
    LeaseTerms,
    Limits,
    RunWriter,
    open_journal,
    verify,
)
from agentfield_journal.leased import open_run_when_free
from agentfield_journal.stores.port import Answer, Batch
from agentfield_journal.testing import make_draft
from tests.journal.cutting_proxy import CuttingProxy, NatsFraming, PostgresFraming, Side
from tests.journal.servers import Server, create_database, find_program, postgres_pair, wait_until_ready

psycopg = pytest.importorskip("psycopg")
pytest.importorskip("nats")

BATCH = 2
LIMITS = Limits(deadline_s=20.0)


class Ledger:
    """What was appended to each run, and up to where it was acknowledged."""

    def __init__(self) -> None:
        self.appended: dict[str, int] = {}
        self.acknowledged: dict[str, int] = {}

    async def append(self, writer: RunWriter) -> None:
        first = self.appended.get(writer.run_id, 0) + 1
        self.appended[writer.run_id] = first + BATCH - 1
        cursor = writer.append([make_draft(first + number) for number in range(BATCH)])
        await writer.durable(cursor)
        self.acknowledged[writer.run_id] = cursor.seq

    async def work(self, url: str, run_ids: list[str], armed: Callable[[], None] = lambda: None) -> None:
        """Open runs and append to them in turns, until the end or the first error."""
        try:
            async with open_journal(url, limits=LIMITS) as journal:
                armed()
                writers = [await journal.open_run(run_id) for run_id in run_ids]
                for _ in range(3):
                    await asyncio.gather(*map(self.append, writers))
                for writer in writers:
                    await writer.release()
        except JournalError:
            """What became of the last records is what `check` finds out."""

    async def check(self, url: str, run_ids: list[str]) -> dict[str, int]:
        """Look at the runs as a reopened journal shows them, and go on; returns where each stood.

        Raises:
            AssertionError: something acknowledged is missing, something is there twice or in halves.
        """
        found: dict[str, int] = {}
        async with open_journal(url, limits=LIMITS) as journal:
            for run_id in run_ids:
                writer = await journal.open_run(run_id)
                records = await journal.read(run_id)
                found[run_id] = len(records)
                assert [record.seq for record in records] == list(range(1, len(records) + 1))
                assert [record.record_id for record in records] == [
                    f"record-{number}" for number in range(1, len(records) + 1)
                ]
                assert self.acknowledged.get(run_id, 0) <= len(records) <= self.appended.get(run_id, 0)
                assert len(records) % BATCH == 0, "half a batch is stored"
                # Whoever does not know what was stored appends it all again.
                for first in range(1, self.appended.get(run_id, 0) + 1, BATCH):
                    again = writer.append([make_draft(first + number) for number in range(BATCH)])
                    assert again.seq == first + BATCH - 1
                await writer.durable(writer.head)
                assert len(await journal.read(run_id)) == self.appended.get(run_id, 0)
            assert (await verify(journal)).sound
        return found


@pytest.fixture
def server(server_url: str, request: pytest.FixtureRequest) -> Server:
    name = "postgres_server" if server_url.startswith("postgresql") else "nats_server"
    found: Server = request.getfixturevalue(name)
    return found


@pytest.fixture
def proxy(server_url: str, server: Server) -> Generator[CuttingProxy]:
    framing = PostgresFraming if server_url.startswith("postgresql") else NatsFraming
    with CuttingProxy(server.port, framing) as proxy:
        yield proxy


def through(proxy: CuttingProxy, url: str) -> str:
    """The same journal, by way of the proxy."""
    changed = re.sub(r":\d+/", f":{proxy.port}/", url)
    return f"{changed}?sslmode=disable&gssencmode=disable" if url.startswith("postgresql") else changed


@pytest.mark.timeout(400)
@pytest.mark.asyncio
@pytest.mark.parametrize("side", Side, ids=lambda side: side.name.lower())
async def test_a_cut_at_any_message_loses_and_doubles_nothing(
    server_url: str, proxy: CuttingProxy, side: Side
) -> None:
    """From the first claim to the last release, one cut after another at each message of the connection."""
    cuts = 0
    while True:
        ledger, run_ids = Ledger(), [f"run-{cuts}-{number}" for number in range(2)]
        await ledger.work(
            through(proxy, server_url),
            run_ids,
            armed=lambda: proxy.cut(side, skip=cuts),  # noqa: B023
        )
        await ledger.check(server_url, run_ids)
        if not proxy.made_cut:
            break
        cuts += 1
    assert cuts > 10
    assert ledger.acknowledged == dict.fromkeys(run_ids, 3 * BATCH)


BEFORE = {"postgresql": (Side.TO_SERVER, b"S"), "nats": (Side.TO_SERVER, b"HPUB ")}
AFTER = {"postgresql": (Side.TO_CLIENT, b"Z"), "nats": (Side.TO_CLIENT, b"MSG ")}
"""What the commit hangs on: PostgreSQL's Sync commits and ReadyForQuery says so; NATS answers a publish."""


async def what_a_cut_leaves(url: str, proxy: CuttingProxy, at: dict[str, tuple[Side, bytes]]) -> int:
    """The records of a run of two batches, when the connection is cut at the second one's commit."""
    side, begins = at["postgresql" if url.startswith("postgresql") else "nats"]
    ledger = Ledger()
    async with open_journal(through(proxy, url), limits=LIMITS) as journal:
        writer = await journal.open_run("run-1")
        await ledger.append(writer)
        proxy.cut(side, lambda frame: frame.startswith(begins))
        with pytest.raises(JournalUnavailable, match="read before going on"):
            await ledger.append(writer)
        with pytest.raises(JournalUnavailable):
            writer.append([make_draft(99)])
    assert proxy.made_cut
    return (await ledger.check(url, ["run-1"]))["run-1"]


@pytest.mark.asyncio
async def test_a_connection_cut_right_before_the_commit_stored_nothing(
    server_url: str, proxy: CuttingProxy
) -> None:
    assert await what_a_cut_leaves(server_url, proxy, BEFORE) == BATCH


@pytest.mark.asyncio
async def test_a_connection_cut_right_after_the_commit_stored_it_once(
    server_url: str, proxy: CuttingProxy
) -> None:
    assert await what_a_cut_leaves(server_url, proxy, AFTER) == 2 * BATCH


@pytest.mark.asyncio
async def test_a_store_that_takes_a_lost_connection_for_success_is_found(
    server_url: str, proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted bug."""
    from agentfield_journal.stores.nats import NatsStore
    from agentfield_journal.stores.postgres_line import PostgresLine

    commit, send = NatsStore.commit, PostgresLine.send

    def hopeful(self: NatsStore, batches: list[Batch], /) -> list[Batch]:
        try:
            return commit(self, batches)
        except JournalUnavailable:
            return []

    def hopeful_send(self: PostgresLine, batches: list[Batch], answer: Answer, /) -> None:
        send(self, batches, lambda result: answer([] if isinstance(result, Exception) else result))

    monkeypatch.setattr(NatsStore, "commit", hopeful)
    monkeypatch.setattr(PostgresLine, "send", hopeful_send)
    ledger = Ledger()
    async with open_journal(through(proxy, server_url), limits=LIMITS) as journal:
        writer = await journal.open_run("run-1")
        await ledger.append(writer)
        side, begins = BEFORE["postgresql" if server_url.startswith("postgresql") else "nats"]
        proxy.cut(side, lambda frame: frame.startswith(begins))
        await ledger.append(writer)
    with pytest.raises(AssertionError):
        await ledger.check(server_url, ["run-1"])


async def append_until_it_fails(ledger: Ledger, url: str, run_id: str, begun: asyncio.Event) -> None:
    async with open_journal(url, limits=LIMITS) as journal:
        writer = await journal.open_run(run_id)
        with pytest.raises(JournalUnavailable):
            while True:
                await ledger.append(writer)
                if ledger.acknowledged[run_id] >= 10 * BATCH:
                    begun.set()


@pytest.mark.timeout(400)
@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_a_server_that_restarts_under_load_loses_and_doubles_nothing(
    server_url: str, server: Server, how: str
) -> None:
    for number in range(3):
        ledger, run_ids = Ledger(), [f"run-{number}-{writer}" for writer in range(4)]
        begun = [asyncio.Event() for _ in run_ids]
        async with asyncio.TaskGroup() as group:
            for run_id, event in zip(run_ids, begun, strict=True):
                group.create_task(append_until_it_fails(ledger, server_url, run_id, event))
            await asyncio.gather(*(event.wait() for event in begun))
            if how == "restart":
                await asyncio.to_thread(server.restart)
            else:
                server.kill()
                await asyncio.to_thread(server.start)
        if server_url.startswith("postgresql"):
            await asyncio.to_thread(wait_until_ready, server_url, server)
        await ledger.check(server_url, run_ids)


@pytest.fixture
def pair() -> Generator[tuple[Server, Server, str]]:
    """A primary, its standby, and a journal on the primary."""
    if find_program("pg_basebackup") is None or find_program("initdb") is None:
        pytest.skip("PostgreSQL's server programs are not installed")
    with postgres_pair() as (primary, standby):
        yield primary, standby, create_database(primary)


def promote(standby: Server, url: str) -> str:
    """Make the standby a primary; the journal's URL there."""
    address = f"postgresql://postgres@127.0.0.1:{standby.port}/postgres"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("SELECT pg_promote()")
    return re.sub(r":\d+/", f":{standby.port}/", url)


@pytest.mark.timeout(400)
@pytest.mark.asyncio
async def test_a_failover_to_a_synchronous_standby_loses_nothing_acknowledged(
    pair: tuple[Server, Server, str],
) -> None:
    primary, standby, url = pair
    ledger, begun = Ledger(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(append_until_it_fails(ledger, url, "run-1", begun))
        await begun.wait()
        primary.kill()
    promoted = await asyncio.to_thread(promote, standby, url)
    found = await ledger.check(promoted, ["run-1"])
    assert found["run-1"] >= 10 * BATCH
    async with open_journal(promoted, lease=LeaseTerms(holder="another plane")) as journal:
        await ledger.append(await open_run_when_free(journal, "run-1", wait_max_s=60))


@pytest.mark.timeout(400)
@pytest.mark.asyncio
async def test_a_primary_that_lost_its_standby_to_promotion_acknowledges_nothing(
    pair: tuple[Server, Server, str],
) -> None:
    """The stale leader lives on with its clients; what it still takes is never acknowledged."""
    from agentfield_journal.stores.postgres import PostgresStore

    _, standby, url = pair
    ledger = Ledger()
    stale = await open_journal(url, limits=Limits(deadline_s=2.0))
    writer = await stale.open_run("run-1")
    await ledger.append(writer)
    promoted = await asyncio.to_thread(promote, standby, url)
    with pytest.raises(JournalUnavailable, match="whether the records are stored is unknown"):
        await ledger.append(writer)
    assert ledger.acknowledged == {"run-1": BATCH}
    assert await ledger.check(promoted, ["run-1"]) == {"run-1": BATCH}
    with pytest.raises(JournalUnavailable):
        await stale.close()
    assert isinstance(stale.store, PostgresStore)
    for run_id, epoch in stale.store.leases.all().items():
        stale.store.leases.drop(run_id, epoch)  # to release one would wait for ever, too
    stale.store.close()
