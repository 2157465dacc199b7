"""How fast a session is folded from its journal, and how soon a call of an hour goes on in a new process.

    python benchmarks/fold.py

The call is one of `voice_call` in virtual time: a turn every eight seconds, half of the time the agent
speaks. The fold is `core.evolve` over the session's decoded records, beside msgspec decoding the payloads of
the same records: the least that anybody has to do who reads them. A recovery is `open_session` on a journal
file, with opening the file, reading, checking the chain, folding, closing what was open, and an adapter that
connects at once. CPU seconds of the whole process, which other work on the machine does not change; of a
recovery also the time by the wall, with its waits for the disk. Medians over the rounds.
"""

import asyncio
import contextlib
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from agentfield_journal import open_journal
from agentfield_journal.envelope import Draft, Envelope
from agentfield_rt import Run
from agentfield_rt.core.evolve import replay
from agentfield_rt.ports import Connection, ConnectRequest
from agentfield_rt.recovery import open_session
from agentfield_rt.run import decode, realtime_records
from agentfield_rt.testing.virtual_time import VirtualTimeLoop
from benchmarks.voice_call import FRAME_S, SILENCE, BareAdapter, Ear, Speaker, voice_session

CALL_S = 3_600.0
TURN_S = 8.0
ROUNDS = 15
RUN = "run_0123456789abcdef"
SESSION = "sess_0123456789abcdef"
BAR_PER_S = 300_000


class NextAdapter(BareAdapter):
    """The connection of the process that goes on."""

    async def connect(self, request: ConnectRequest) -> Connection:
        return Connection(session_id=request.session_id, connection_id="connection-2")


async def call() -> list[Envelope]:
    """The records of a call that nobody has ended."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    async with open_journal("memory:") as journal:
        run = await Run.open(journal, RUN, clock=loop.time_ns)
        provider = Speaker()
        session = voice_session(run, provider, session_id=SESSION)
        await session.connect(caller=Ear())
        talking = asyncio.create_task(_talk(provider))
        began_s = loop.time()
        while loop.time() - began_s < CALL_S:
            await session.hear_audio(SILENCE)
            await asyncio.sleep(FRAME_S)
        await run.durable()
        found = await journal.read(RUN)
        talking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await talking
        await session.close()
        return found


async def _talk(provider: Speaker) -> None:
    loop = asyncio.get_running_loop()
    while True:
        next_s = loop.time() + TURN_S
        await provider.hear(f"item_{round(loop.time()):016x}")
        await asyncio.sleep(next_s - loop.time())


async def write(envelopes: list[Envelope], path: Path) -> None:
    """The same records in a journal file, as the dead process left it."""
    async with open_journal(f"sqlite:///{path}") as journal:
        writer = await journal.open_run(RUN)
        for envelope in envelopes:
            writer.append([Draft(**{name: getattr(envelope, name) for name in Draft.__struct_fields__})])
        await writer.durable(writer.head)
        await writer.release()


async def recover(path: Path) -> tuple[float, float]:
    """Milliseconds of CPU and by the wall until a new process has the session."""
    began_cpu, began = time.process_time(), time.perf_counter()
    async with open_journal(f"sqlite:///{path}") as journal:
        controller = await open_session(journal, RUN, NextAdapter())
        took_ms = (time.process_time() - began_cpu) * 1e3, (time.perf_counter() - began) * 1e3
        assert controller.state.is_open
        await controller.close()
        await controller.run.release()
    return took_ms


def fold_and_decode(envelopes: list[Envelope]) -> tuple[float, float, int]:
    """CPU seconds to fold the session, and to decode the same records; and how many they are."""
    history = realtime_records(envelopes, SESSION)
    kinds = {type(record).kind for record in history}
    mine = [envelope for envelope in envelopes if envelope.kind in kinds]
    began = time.process_time()
    replay(SESSION, history)
    folded = time.process_time()
    for envelope in mine:
        decode(envelope)
    return folded - began, time.process_time() - folded, len(history)


def main() -> None:
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(threads="inline")) as runner:
        envelopes = runner.run(call())
    rates, ratios, total = list[float](), list[float](), 0
    for _ in range(ROUNDS):
        fold_s, decode_s, total = fold_and_decode(envelopes)
        rates.append(total / fold_s)
        ratios.append(fold_s / decode_s)
    with tempfile.TemporaryDirectory() as folder:
        left = Path(folder) / "left.db"
        asyncio.run(write(envelopes, left))
        recoveries = list[tuple[float, float]]()
        for number in range(ROUNDS):
            copy = Path(folder) / f"{number}.db"
            shutil.copy(left, copy)
            recoveries.append(asyncio.run(recover(copy)))
    rate = statistics.median(rates)
    verdict = "met" if rate >= BAR_PER_S else "MISSED"
    fold_ms = total / rate * 1e3
    cpu_ms, wall_ms = (statistics.median(column) for column in zip(*recoveries, strict=True))
    print(f"{len(envelopes):,} records of an hour, {total:,} of them at the provider boundary")
    print(f"fold            {rate:>9,.0f} records/s   bar {BAR_PER_S:,}: {verdict}")
    print(f"                {statistics.median(ratios):>9.1f} x the CPU of decoding them")
    print(f"whole recovery  {cpu_ms:>9.0f} ms of CPU, {wall_ms:.0f} ms by the wall")
    print(f"  the fold      {fold_ms:>9.1f} ms, {fold_ms / cpu_ms:.0%}")


if __name__ == "__main__":
    main()
