"""How fast the auditor reads: a long call from memory and from a file. `python benchmarks/audit.py`.

Medians of five rounds; the bar is 100,000 records a second of CPU, from memory.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from agentfield_journal import Envelope, open_journal
from agentfield_rt.audit import audit, audit_journal
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import CloseReason
from agentfield_rt.frames import Media
from agentfield_rt.run import Context, Run

ROUNDS = 5
TURNS = 5_000
BAR_PER_S = 100_000


def turn(number: int) -> list[Record]:
    """What a spoken turn and its answer leave: ten records."""
    send, receive, said, answer = (f"{letter}{number}" for letter in "srtu")
    tally = records.WindowTally(frames=50, size_bytes=48_000, duration_ms=1_000, digest=bytes(32))
    return [
        records.InputSendRequested(op_id=send, media=Media.AUDIO, frames_max=50),
        records.OutputReceiveRequested(op_id=receive, demand=64),
        records.InputSent(op_id=send, cursor=50 * (number + 1), window=tally),
        records.OutputReceived(
            op_id=receive, cursor=9 * (number + 1), events={"OutputAudio": 9}, audio=tally
        ),
        records.TurnStarted(op_id=said, source=records.TurnSource.SPEECH, understood=True, text_ref="ref.1"),
        records.UtteranceRequested(op_id=answer, text_ref="ref.2"),
        records.UtteranceStarted(utterance_id=answer, response_id=f"resp_{number}"),
        records.UtterancePlayed(op_id=answer, heard_ref="ref.3"),
        records.TurnCompleted(op_id=said),
        records.UtteranceStarted(utterance_id=answer, response_id=f"resp_{number}"),
    ]


async def write(url: str) -> list[Envelope]:
    """A call of `TURNS` turns, sealed; returns its records."""
    context = Context(session_id="sess_bench")
    async with open_journal(url) as journal:
        run = await Run.open(journal, "run_bench")
        run.append([records.ConnectRequested(op_id="c")], context)
        run.append([records.Connected(op_id="c", connection_id="c1")], context)
        for number in range(TURNS):
            run.append(turn(number), context)
            if number % 500 == 0:
                await run.durable()
        run.append([records.CloseRequested(op_id="x", reason=CloseReason.NORMAL)], context)
        run.append([records.Closed(op_id="x", reason=CloseReason.NORMAL)], context)
        await run.seal(records.RunCompleted())
        await run.release()
        return await journal.read("run_bench")


async def from_file(url: str) -> float:
    """Seconds to audit the journal at `url`, its chain checked on the way."""
    async with open_journal(url, read_only=True) as journal:
        began = time.perf_counter()
        report = await audit_journal(journal)
        took = time.perf_counter() - began
    assert report.clean, report.findings[:3]
    return took


def from_memory(envelopes: list[Envelope]) -> float:
    """Seconds of CPU, which others on the machine do not change, to audit records that were read before."""
    began = time.process_time()
    report = audit(envelopes)
    took = time.process_time() - began
    assert report.clean, report.findings[:3]
    return took


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder)}/journal.db"
        envelopes = asyncio.run(write(url))
        memory = len(envelopes) / statistics.median(from_memory(envelopes) for _ in range(ROUNDS))
        file = len(envelopes) / statistics.median(asyncio.run(from_file(url)) for _ in range(ROUNDS))
    verdict = "met" if memory >= BAR_PER_S else "MISSED"
    print(f"{len(envelopes)} records, medians of {ROUNDS} rounds")
    print(f"from memory  {memory:>10,.0f} records/s   bar {BAR_PER_S:,}: {verdict}")
    print(f"from a file  {file:>10,.0f} records/s   with reading, decoding and the chain")


if __name__ == "__main__":
    main()
