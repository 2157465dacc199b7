"""What a call leaves in the journal: record bytes for each second of two-way speech, by kind of record.

A call of ten minutes in virtual time: 20 ms of audio 50 times a second from the caller, a turn every eight
seconds, four seconds of answer. The same records are then written into a file as they were committed, so
that its growth shows what the store adds.
"""

import asyncio
import tempfile
from collections import Counter
from itertools import groupby
from pathlib import Path

from agentfield_journal import codec, open_journal
from agentfield_journal.envelope import Draft, Envelope
from agentfield_rt import Run
from agentfield_rt.testing.virtual_time import VirtualTimeLoop
from benchmarks.voice_call import FRAME_S, SILENCE, Ear, Speaker, voice_session

CALL_S = 600.0
TURN_S = 8.0
HASH_BYTES = 32
BAR_BYTES_PER_S = 1_000


async def call() -> list[Envelope]:
    """The records of a call."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    async with open_journal("memory:") as journal:
        run = await Run.open(journal, "run_0123456789abcdef", clock=loop.time_ns)
        provider = Speaker()
        session = voice_session(run, provider)
        await session.connect(caller=Ear())
        talking = asyncio.create_task(talk(provider))
        began_s = loop.time()
        while loop.time() - began_s < CALL_S:
            await session.hear_audio(SILENCE)
            await asyncio.sleep(FRAME_S)
        talking.cancel()
        await session.close()
        return await journal.read(run.run_id)


async def talk(provider: Speaker) -> None:
    loop = asyncio.get_running_loop()
    while True:
        next_s = loop.time() + TURN_S
        await provider.hear(f"item_{round(loop.time()):016x}")
        await asyncio.sleep(next_s - loop.time())


def stored_bytes(record: Envelope) -> int:
    """A record's bytes as they are stored and hashed, with its hash."""
    return (
        len(codec.record_head(record.run_id, record.epoch))
        + 8
        + len(codec.encode_draft(draft(record)))
        + HASH_BYTES
    )


def draft(record: Envelope) -> Draft:
    return Draft(**{name: getattr(record, name) for name in Draft.__struct_fields__})


async def file_bytes(records: list[Envelope], path: Path) -> int:
    """How large a journal file grows by these records, in the groups they came in."""
    async with open_journal(f"sqlite:///{path}") as journal:
        writer = await journal.open_run(records[0].run_id)
        for _, group in groupby(records, key=lambda record: record.at_ns):
            await writer.durable(writer.append([draft(record) for record in group]))
        await writer.release()
    return sum(file.stat().st_size for file in path.parent.iterdir())


def main() -> None:
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(threads="inline")) as runner:
        records = runner.run(call())
    total_bytes = sum(map(stored_bytes, records))
    by_kind: Counter[str] = Counter()
    for record in records:
        by_kind[record.kind] += stored_bytes(record)
    counts = Counter(record.kind for record in records)
    payload_bytes = sum(len(record.payload) for record in records)
    print(f"{'kind':<36} {'records':>7} {'each':>6} {'bytes/s':>8}")
    for kind, kind_bytes in by_kind.most_common():
        print(f"{kind:<36} {counts[kind]:>7} {kind_bytes // counts[kind]:>6} {kind_bytes / CALL_S:>8.1f}")
    with tempfile.TemporaryDirectory() as folder:
        growth_bytes = asyncio.run(file_bytes(records, Path(folder) / "journal.db"))
    print(
        f"\n{len(records) / CALL_S:.2f} records/s,"
        f" of their bytes {payload_bytes / total_bytes:.0%} payload, the rest envelope"
    )
    print(f"record bytes for each second   {total_bytes / CALL_S:8.0f}   (bar: {BAR_BYTES_PER_S:,})")
    print(f"file bytes for each second     {growth_bytes / CALL_S:8.0f}   (SQLite, with its indexes)")


if __name__ == "__main__":
    main()
