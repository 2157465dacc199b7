"""Makes a golden journal: `python tests/journal/golden.py FOLDER`. Released ones are never edited."""

import asyncio
import json
import sys
from pathlib import Path

import msgspec

from agentfield_journal import Draft, Envelope, Privacy, Retention, open_journal
from agentfield_journal.evidence.checkpoints import Checkpointer
from agentfield_journal.evidence.notes import Signer


def drafts() -> list[Draft]:
    """One of everything a record can hold."""
    encode = msgspec.msgpack.encode
    payloads: list[object] = [
        {},
        {"text": "naïve 🙂", "n": [0, -1, 127, 128, -33, 70_000, 1 << 40, -(1 << 40), 0.5, None, True]},
        {"bytes": bytes(range(256)) * 2, "map": {str(n): n for n in range(20)}, "list": list(range(20))},
        {"long": "x" * 70_000},
    ]
    found = [
        Draft(record_id=f"record-{number}", kind="realtime_input_sent", at_ns=number, payload=encode(payload))
        for number, payload in enumerate(payloads)
    ]
    found += [
        Draft(
            record_id=f"record-{privacy}-{retention}",
            kind="realtime_output_received",
            at_ns=1_763_670_000_000_000_000,
            version=2,
            op_id="op-1",
            request_record_id="record-1",
            agent_id="agent",
            session_id="session",
            turn_id="turn",
            causal_refs=("record-1", "record-2"),
            content_refs=("content.1",),
            privacy=privacy,
            retention=retention,
            fingerprint="sha256:0",
        )
        for privacy in Privacy
        for retention in Retention
    ]
    return found


def as_json(record: Envelope) -> str:
    plain = msgspec.to_builtins(record, builtin_types=(bytes,))
    plain["payload"] = msgspec.msgpack.decode(record.payload)
    return json.dumps(plain, default=bytes.hex, sort_keys=True)


async def make(folder: Path) -> None:
    signer = Signer("golden.example/journal", bytes(range(32)))
    async with open_journal(f"sqlite:///{folder}/journal.db") as journal:
        for run_id in ("run-1", "läuft 🙂"):
            writer = await journal.open_run(run_id)
            for draft in drafts():
                await writer.durable(writer.append([draft]))
            await writer.release()
        writer = await journal.open_run("run-1")
        writer.append([Draft(record_id="second-life", kind="run_completed", at_ns=1)])
        await writer.release()
        checkpointer = await Checkpointer.open(journal, signer)
        await checkpointer.checkpoint()
        await checkpointer.rotate(Signer("golden.example/journal", bytes(range(1, 33))))
        lines = [as_json(record) for run in ("run-1", "läuft 🙂") for record in await journal.read(run)]
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "verifier-key").write_text(f"{signer.verifier}\n")
    (folder / "journal.db-wal").unlink()
    (folder / "journal.db-shm").unlink()
    (folder / "journal.db.lock").unlink()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    asyncio.run(make(folder))
