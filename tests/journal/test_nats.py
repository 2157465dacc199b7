"""The NATS JetStream store conforms, and says when its server is not durable."""

import asyncio
import json
import secrets
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from agentfield_journal import JournalConflict, JournalUnavailable, open_journal, verify
from agentfield_journal.testing import CHECKS, Check, make_draft
from tests.journal.servers import Server, find_program, nats

nats_client = pytest.importorskip("nats")

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
