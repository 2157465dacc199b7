"""`af journal tail`: records as they become durable, also while another process writes them."""

import asyncio
from datetime import UTC, datetime

from agentfield_journal import StoreJournal
from agentfield_journal.envelope import Envelope
from agentfield_rt.cli.journal_output import ENDED, coloured, record_view
from agentfield_rt.cli.journal_reading import find_run, reading
from agentfield_rt.cli.journal_rows import details
from agentfield_rt.cli.printing import literal, stdout, write_result

_POLL_S = 0.1


def follow_run(data: str, run: str | None, *, last: int, as_json: bool) -> None:
    """Print the `last` records of a run and each new one, until its last."""
    asyncio.run(_follow_run(data, run, last=last, as_json=as_json))


async def _follow_run(data: str, run: str | None, *, last: int, as_json: bool) -> None:
    async with reading(data) as journal:
        run_id = await find_run(journal, run)
        seq = max((head.seq for head in await journal.heads_of([run_id])), default=0)
        async for record in journal.subscribe(run_id, after=max(seq - max(last, 1), 0)):
            if record.seq > seq - last:
                _print(record, as_json=as_json)
            if record.kind in ENDED:
                return


def follow_all(data: str, *, as_json: bool) -> None:
    """Print each new record of any run, until interrupted."""
    asyncio.run(_follow_all(data, as_json=as_json))


async def _follow_all(data: str, *, as_json: bool) -> None:
    async with reading(data) as journal:
        version = await _changes(journal)
        seen = {head.run_id: head.seq for head in await journal.heads()}
        while True:
            await asyncio.sleep(_POLL_S)
            if (latest := await _changes(journal)) == version:
                continue
            version = latest
            for head in reversed(await journal.heads()):
                if head.seq > seen.get(head.run_id, 0):
                    for record in await journal.read(head.run_id, after=seen.get(head.run_id, 0)):
                        seen[head.run_id] = record.seq
                        _print(record, as_json=as_json)


async def _changes(journal: StoreJournal) -> int:
    return await journal.on_reader(journal.store.changes)


def _print(record: Envelope, *, as_json: bool) -> None:
    if as_json:
        write_result({"run_id": record.run_id, **record_view(record)})
        return
    at = datetime.fromtimestamp(record.at_ns / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3]
    stdout().print(
        f"[dim]{at} {literal(record.run_id)} {record.seq:>5}[/dim] {coloured(record.kind)}"
        f" [dim]{literal(details(record))}[/dim]",
        soft_wrap=True,
    )
