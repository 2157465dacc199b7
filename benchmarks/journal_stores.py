"""Our stores side by side, servers beside the client library used bare in its best way.

    BENCH_POSTGRES=postgresql://… BENCH_NATS=nats://host:4222 python benchmarks/journal_stores.py

`--plot FILE` also draws the rates. Without a server's URL its rows are left out. JetStream is measured as it
is; whether it syncs is its affair.
"""

import argparse
import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from agentfield_journal import codec, open_journal
from benchmarks.journal_load import (
    Line,
    Timing,
    at_least,
    closed_loop,
    draft,
    journal_load,
    measure,
    measure_in_turn,
    plot,
    show,
)

WRITERS = 64


async def ours(url: str, writers: int, each: int) -> Timing:
    async with open_journal(url) as journal:
        return await journal_load(journal, writers, each, runs_named=secrets.token_hex(4))


async def bare_postgres(url: str) -> Timing:
    """asyncpg, one connection, every group one INSERT … SELECT FROM unnest."""
    asyncpg: Any = import_module("asyncpg")
    connection = await asyncpg.connect(url)
    await connection.execute(
        "DROP TABLE IF EXISTS bare; CREATE TABLE bare (id bigserial, seq bigint, body bytea)"
    )
    insert = await connection.prepare(
        "INSERT INTO bare (seq, body) SELECT * FROM unnest($1::bigint[], $2::bytea[])"
    )
    pending: list[tuple[bytes, asyncio.Future[None]]] = []
    wake = asyncio.Event()

    async def commit_groups() -> None:
        while True:
            await wake.wait()
            wake.clear()
            await asyncio.sleep(0)
            while group := pending[:]:
                pending.clear()
                await insert.fetch(list(range(len(group))), [body for body, _ in group])
                for _, done in group:
                    done.set_result(None)
                await asyncio.sleep(0)

    async def append(_writer: int, number: int) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        pending.append((codec.encode_draft(draft(number)), done))
        wake.set()
        await done

    committing = asyncio.create_task(commit_groups())
    timing = await closed_loop(append, WRITERS, 150)
    committing.cancel()
    await connection.close()
    return timing


async def bare_nats(url: str) -> Timing:
    """nats-py, concurrent publishes, each with the expected last sequence of its subject."""
    nats: Any = import_module("nats")
    client = await nats.connect(url)
    stream = f"BARE{secrets.token_hex(4)}"
    publisher = client.jetstream(timeout=10)
    await publisher.add_stream(name=stream, subjects=[f"{stream}.*"])
    last = [0] * WRITERS

    async def append(writer: int, number: int) -> None:
        headers = {"Nats-Expected-Last-Subject-Sequence": str(last[writer])}
        body = codec.encode_draft(draft(number))
        last[writer] = (await publisher.publish(f"{stream}.{writer}", body, headers=headers)).seq

    timing = await closed_loop(append, WRITERS, 150)
    await publisher.delete_stream(stream)
    await client.close()
    return timing


def measure_server(
    name: str, url: str, bare: Callable[[str], Awaitable[Timing]], ours_url: str
) -> list[Line]:
    store, client = measure_in_turn(
        {
            f"{name}, 64 writers": lambda _: ours(ours_url, WRITERS, 150),
            f"{name}, bare client, 64 writers": lambda _: bare(url),
        }
    )
    return [(store, [at_least("/ bare client", store.ratio_to(client), 0.7)]), (client, ())]


def main() -> None:
    parser = argparse.ArgumentParser(description="Durable appends by store.")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw the rates into this SVG file")
    plot_path: Path | None = parser.parse_args().plot

    def sqlite(folder: Path) -> str:
        return f"sqlite:///{folder}/journal.db"

    lines: list[Line] = [
        (measure("memory, 64 writers", lambda _: ours("memory:", WRITERS, 400)), ()),
        (measure("SQLite, one writer", lambda folder: ours(sqlite(folder), 1, 1_000)), ()),
        (measure("SQLite, 8 writers", lambda folder: ours(sqlite(folder), 8, 500)), ()),
        (measure("SQLite, 64 writers", lambda folder: ours(sqlite(folder), WRITERS, 400)), ()),
        (measure("SQLite, 512 writers", lambda folder: ours(sqlite(folder), 512, 80)), ()),
    ]
    if url := os.environ.get("BENCH_POSTGRES"):
        lines += measure_server("PostgreSQL", url, bare_postgres, url)
    if url := os.environ.get("BENCH_NATS"):
        stream = f"{url.replace('nats:', 'nats-unsynced:')}/BENCH{secrets.token_hex(4)}"
        lines += measure_server("JetStream", url, bare_nats, stream)
    show("durable appends by store", lines)
    if plot_path is not None:
        plot(plot_path, "durable appends by store", lines)


if __name__ == "__main__":
    main()
