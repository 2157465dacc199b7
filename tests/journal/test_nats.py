"""The NATS JetStream store conforms, and says when its server is not durable."""

import asyncio
import json
import secrets
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from agentfield_journal import (
    BatchTooLarge,
    Cursor,
    JournalConflict,
    JournalUnavailable,
    open_journal,
    verify,
)
from agentfield_journal.stores import nats_places
from agentfield_journal.stores.nats_places import Places
from agentfield_journal.testing import CHECKS, Check, make_draft
from agentfield_journal.tools.exchange import export_run, import_run
from agentfield_journal.tools.upgrade import copy_journal
from tests.journal.servers import Server, find_program, nats

nats_client = pytest.importorskip("nats")

from nats.aio.client import Client  # noqa: E402

if find_program("nats-server") is None:
    pytest.skip("nats-server is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    with nats() as server:
        yield server


@pytest.fixture
def url(server: Server) -> str:
    """A stream of its own for each test; the installed server may be too old to sync always."""
    return f"nats-unsynced://127.0.0.1:{server.port}/T{secrets.token_hex(6)}"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.asyncio
async def test_the_nats_store_conforms(check: Check, url: str) -> None:
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
    async with open_journal(url) as one, open_journal(url) as other:
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
async def test_a_killed_server_poisons_and_reopening_goes_on(url: str, server: Server) -> None:
    async with open_journal(url) as journal:
        writer = await journal.open_run("run-1")
        await writer.durable(writer.append([make_draft(1), make_draft(2)]))
        server.kill()
        with pytest.raises(JournalUnavailable, match="read before going on"):
            await writer.durable(writer.append([make_draft(3)]))
        with pytest.raises(JournalUnavailable):
            writer.append([make_draft(4)])
    server.start()
    async with open_journal(url) as journal:
        writer = await journal.open_run("run-1")
        await writer.durable(writer.append([make_draft(9)]))
        assert (await verify(journal)).sound


@pytest.mark.asyncio
async def test_a_group_of_many_runs_is_refused_only_where_a_writer_is_stale(url: str) -> None:
    async with open_journal(url) as one, open_journal(url) as other:
        writers = [await one.open_run(f"run-{number}") for number in range(20)]
        await other.open_run("run-7")
        cursors = [writer.append([make_draft(1)]) for writer in writers]
        found = await asyncio.gather(
            *(writer.durable(cursor) for writer, cursor in zip(writers, cursors, strict=True)),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in found if outcome is not None] == [JournalConflict]
        assert isinstance(found[7], JournalConflict)
        assert len(await one.read("run-8")) == 1 and await one.read("run-7") == []


@pytest.mark.asyncio
async def test_what_is_too_much_for_one_message_is_stored_in_order(url: str) -> None:
    async with open_journal(url) as journal:
        writer = await journal.open_run("run-1")
        for number in range(6):
            writer.append([make_draft(number, payload=bytes(400_000))])
        await writer.durable(writer.head)
        assert [record.seq for record in await journal.read("run-1")] == [1, 2, 3, 4, 5, 6]
        assert (await verify(journal)).sound


@pytest.mark.asyncio
async def test_a_stream_that_is_gone_poisons_the_journal(url: str) -> None:
    async with open_journal(url) as journal:
        writer = await journal.open_run("run-1")
        address, stream = url.replace("nats-unsynced:", "nats:").rsplit("/", 1)
        client = await nats_client.connect(address)
        await client.jetstream().delete_stream(stream)
        await client.close()
        with pytest.raises(JournalUnavailable, match="read before going on"):
            await writer.durable(writer.append([make_draft(1)]))
        with pytest.raises(JournalUnavailable):
            writer.append([make_draft(2)])


class Monitor(BaseHTTPRequestHandler):
    """A server's monitor that says `settings` of its JetStream."""

    settings: ClassVar[dict[str, object]] = {}

    def do_GET(self) -> None:
        body = json.dumps({"jetstream": {"config": self.settings}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def monitor() -> Generator[str]:
    with HTTPServer(("127.0.0.1", 0), Monitor) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.mark.asyncio
async def test_a_server_is_called_durable_only_if_its_monitor_says_so(url: str, monitor: str) -> None:
    durable = url.replace("nats-unsynced:", "nats:")
    with pytest.raises(JournalUnavailable, match="sync_interval: always"):
        await open_journal(durable)
    Monitor.settings = {"sync_interval": 120_000_000_000}
    with pytest.raises(JournalUnavailable, match="acknowledges before it syncs"):
        await open_journal(f"{durable}?monitor={monitor}")
    Monitor.settings = {"sync_always": True}
    async with open_journal(f"{durable}?monitor={monitor}") as journal:
        await (await journal.open_run("run-1")).release()


@pytest.mark.asyncio
async def test_a_batch_that_no_message_holds_is_refused_and_every_run_goes_on(url: str) -> None:
    async with open_journal(url) as journal:
        writer, other = await journal.open_run("run-1"), await journal.open_run("run-2")
        large = [make_draft(number, payload=bytes(300_000)) for number in range(4)]
        with pytest.raises(BatchTooLarge, match="fewer records"):
            writer.append(large)
        assert writer.head.seq == 0
        fits = bytes(journal.batch_bytes_max - 1_000)
        await writer.durable(writer.append([make_draft(9, payload=fits)]))
        await other.durable(other.append(large[:3]))
        assert [len(record.payload) for record in await journal.read("run-1")] == [len(fits)]
        assert (await verify(journal)).sound


@pytest.mark.asyncio
async def test_a_journal_of_large_records_moves_to_nats_if_each_fits(url: str, tmp_path: Path) -> None:
    async with open_journal("memory:") as source, open_journal(url) as target:
        writer = await source.open_run("run-1")
        for number in range(9):
            await writer.durable(writer.append([make_draft(number, payload=bytes(300_000))]))
        await copy_journal(source, target)
        assert await target.heads() == await source.heads()
        too_large = await source.open_run("run-2")
        await too_large.durable(too_large.append([make_draft(1, payload=bytes(2_000_000))]))
        await export_run(source, "run-2", tmp_path / "run-2")
        with pytest.raises(BatchTooLarge, match="record 1 takes"):
            await import_run(target, tmp_path / "run-2")
        assert await target.run_ids() == ["run-1"]
        await (await target.open_run("run-3")).release()


@pytest.mark.asyncio
async def test_what_was_forgotten_of_a_run_is_asked_of_the_server(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_places, "_RUNS_MAX", 3)
    monkeypatch.setattr(nats_places, "_PLACES_MAX", 4)
    async with open_journal(url) as journal, open_journal(url) as other:
        writers = [await journal.open_run(f"run-{number}") for number in range(8)]
        for number in range(30):
            for writer in writers:
                writer.append([make_draft(number)])
            await asyncio.gather(*(writer.durable(writer.head) for writer in writers))
            if number == 20:
                await other.open_run("run-0")
                writers[0].append([make_draft(99)])
                with pytest.raises(JournalConflict):
                    await writers.pop(0).durable(Cursor("run-0", 22))
        for after in (0, 7, 19, 28, 30):
            for number in range(1, 8):
                found = await journal.read(f"run-{number}", after=after)
                assert [record.seq for record in found] == list(range(after + 1, 31))
        assert len(await other.read("run-0")) == 21
        assert (await verify(journal)).sound


def test_places_are_few_and_the_newest_are_near() -> None:
    places = Places()
    for seq in range(0, 100_000, 10):
        places.note(seq, seq + 1_000)
    places.note(5, 1_005)
    for after in (0, 1, 77, 50_000, 99_985, 99_990, 10**30):
        assert places.start(after) <= max(after + 1_000, 1)
    assert places.start(0) == 1
    assert 99_900 <= places.start(99_985) - 1_000 < 99_985


@pytest.mark.asyncio
async def test_a_client_that_fails_to_close_leaves_no_thread(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = Client.close

    async def fail(self: Client) -> None:
        await close(self)
        raise OSError("the socket has gone")

    journal = await open_journal(url)
    monkeypatch.setattr(Client, "close", fail)
    with pytest.raises(JournalUnavailable, match="OSError"):
        await journal.close()
    assert "journal-nats" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["127.0.0.1:99999", "af:secret@127.0.0.1:no", "127.0.0.1:4222,127.0.0.1:-1"])
async def test_a_port_that_is_none_is_the_urls_fault(host: str) -> None:
    with pytest.raises(ValueError, match="ports are 1 to 65535") as refused:
        await open_journal(f"nats-unsynced://{host}/T")
    assert "secret" not in str(refused.value)


@pytest.mark.asyncio
@pytest.mark.parametrize("monitor", ["http://127.0.0.1:99999", "http://127.0.0.1:no", "http://[::1"])
async def test_a_monitor_that_cannot_be_asked_tells_nothing(url: str, monitor: str) -> None:
    with pytest.raises(JournalUnavailable, match="does not tell"):
        await open_journal(f"{url.replace('nats-unsynced:', 'nats:')}?monitor={monitor}")
