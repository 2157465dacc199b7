"""Worlds of a journal and its catalogue: writes, kills, damage and hurry in any order, from one number."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from agentfield_journal import Draft, RunWriter, StoreJournal
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.stores.port import Store
from agentfield_rt.core import records
from agentfield_rt.core.records import Record, ReportedStatus
from agentfield_rt.errors import CloseReason, Reason
from agentfield_rt.plane.catalogue.catalogue import Catalogue, open_catalogue
from agentfield_rt.plane.catalogue.projection import Projection
from agentfield_rt.plane.catalogue.rows import ExecutionRow, NoteRow, RunRow, SessionRow, TurnRow
from tests.catalogue.model import Rows, expected

RUNS = 4
STEPS = 30


class Differs(AssertionError):
    """The catalogue is not what the journal says."""


class World:
    """One journal, and the catalogue of whichever process follows it at the moment."""

    def __init__(self, seed: int, path: Path, store: Store | None = None) -> None:
        self.choose = random.Random(seed)
        self.path = path
        self.journal = StoreJournal(store or MemoryStore())
        self.writers: dict[str, RunWriter] = {}
        self.number = 0
        self.catalogue: Catalogue | None = None

    async def live(self) -> None:
        """Begin a process that follows the journal."""
        self.following = open_catalogue(self.path, self.journal)
        self.catalogue = await self.following.__aenter__()

    async def stop(self) -> None:
        assert self.catalogue is not None
        await self.following.__aexit__(None, None, None)

    async def kill(self) -> None:
        """End it as a kill does: what it had not written down is lost."""
        assert self.catalogue is not None
        await abandon(self.catalogue)

    async def write(self) -> None:
        run_id = f"run_{self.choose.randrange(RUNS)}"
        if run_id not in self.writers:
            self.writers[run_id] = await self.journal.open_run(run_id)
        told = [self._record() for _ in range(self.choose.randint(1, 4))]
        self.writers[run_id].append([self._draft(each, run_id) for each in told])

    def _draft(self, record: Record, run_id: str) -> Draft:
        self.number += 1
        return Draft(
            record_id=f"r{self.number}",
            kind=record.kind,
            at_ns=1_000_000_000 + self.number,
            payload=msgspec.msgpack.encode(record),
            op_id=getattr(record, "op_id", None),
            session_id=f"sess_{run_id}",
        )

    def _record(self) -> Record:
        choose = self.choose
        number, ref = choose.randrange(6), f"ref.{self.number}"
        execution_id = f"exec_{number}"
        reported = f"sub_{choose.randrange(3)}"
        makes: list[Callable[[], Record]] = [
            lambda: records.ExecutionQueued(
                op_id=execution_id, target="desk.double", input_ref=ref, remote=number % 2 == 0
            ),
            lambda: records.ExecutionDispatchRequested(execution_id=execution_id, attempt=1),
            lambda: records.ExecutionNotDispatched(
                execution_id=execution_id, attempt=1, reason=Reason.UNAVAILABLE
            ),
            lambda: records.ExecutionSucceeded(op_id=execution_id, result_ref=ref),
            lambda: records.ExecutionFailed(
                op_id=execution_id, reason=choose.choice([Reason.TIMEOUT, Reason.HANDLER_ERROR])
            ),
            lambda: records.ExecutionCancelled(op_id=execution_id),
            lambda: records.SubcallReported(
                execution_id=choose.choice([reported, reported, execution_id]),
                target="desk.inner",
                status=choose.choice(list(ReportedStatus)),
                input_ref=choose.choice([None, ref]),
                result_ref=choose.choice([None, ref]),
            ),
            lambda: records.ExecutionPaused(execution_id=execution_id),
            lambda: records.ExecutionResumed(execution_id=execution_id),
            lambda: records.ExecutionNoted(execution_id=execution_id, note_ref=ref),
            lambda: records.SessionStarted(target="desk.phone", provider="local", transport="webrtc"),
            lambda: records.SessionEnded(reason=choose.choice(list(CloseReason))),
            lambda: records.TurnStarted(
                op_id=f"turn_{number}", source=records.TurnSource.TEXT, understood=True
            ),
            lambda: records.TurnCompleted(op_id=f"turn_{number}"),
            lambda: records.TurnFailed(op_id=f"turn_{number}", reason=Reason.TIMEOUT),
            lambda: records.ResponseHeard(response_id="r", heard_ms=1),  # changes nothing
            lambda: records.RunCompleted() if choose.random() < 0.2 else records.RunCancelled(),
        ]
        return choose.choice(makes)()

    async def check(self) -> None:
        """What is asked now is answered from everything that is durable now."""
        assert self.catalogue is not None
        await self.settle()
        held = await self.catalogue.read(dump)
        told = expected([await self.journal.read(run_id) for run_id in await self.journal.run_ids()])
        for table, rows in told.items():
            for key in rows.keys() | held[table].keys():
                if (row := held[table].get(key)) != rows.get(key):
                    raise Differs(
                        f"{table} {key}: the catalogue holds {row}, the journal says {rows.get(key)}"
                    )

    async def settle(self) -> None:
        """Return when all that was written is durable."""
        for writer in self.writers.values():
            await writer.durable(writer.head)

    async def step(self) -> None:
        what = self.choose.random()
        if what < 0.72:
            await self.write()
        elif what < 0.82:
            await self.check()
        elif what < 0.86:
            await asyncio.sleep(0)
            self.write_down()
        elif what < 0.90:
            await self.mark()
        elif what < 0.97:
            await self.kill()
            if self.choose.random() < 0.3:
                self.damage()
            for _ in range(self.choose.randrange(3)):
                await self.write()
            await self.live()
        else:
            await self.stop()
            await self.live()

    def write_down(self) -> None:
        """What waits is folded now, as when it has waited for long enough."""
        hidden: Any = self.catalogue
        hidden._fold()

    async def mark(self) -> None:
        """It is noted how far the catalogue is, as it is now and then."""
        hidden: Any = self.catalogue
        await hidden._set_mark()

    def damage(self) -> None:
        """The file is lost, or another one."""
        log = self.path.with_name(self.path.name + "-wal")
        log.unlink(missing_ok=True)
        if self.choose.random() < 0.5:
            self.path.unlink(missing_ok=True)
        else:
            self.path.write_bytes(b"no database" * 400)


async def run_world(seed: int, path: Path, store: Store | None = None) -> None:
    """Let a world go its way, over a journal in memory if there is no other store.

    Raises:
        Differs: the catalogue was found to be wrong.
    """
    world = World(seed, path, store)
    await world.live()
    try:
        for _ in range(STEPS):
            await world.step()
        await world.check()
        await world.stop()
        await world.live()  # and what is on the disk is all of it
        await world.check()
    finally:
        await abandon(world.catalogue)
        await world.journal.close()


async def abandon(catalogue: Catalogue | None) -> None:
    """Leave a catalogue as a killed process does."""
    if catalogue is None or catalogue._closed:  # pyright: ignore[reportPrivateUsage]
        return
    hidden: Any = catalogue
    hidden._closed = True
    hidden._marking.cancel()
    hidden._waiting.clear()
    if hidden._timer is not None:
        hidden._timer.cancel()
    if hidden._catching_up is not None:
        hidden._catching_up.cancel()
        await asyncio.wait([hidden._catching_up])
    hidden._thread.submit(hidden._projection.close)
    hidden._thread.shutdown(wait=True)


def dump(db: Projection) -> Rows:
    """The rows as the model has them."""
    executions = {
        (row.execution_id, row.run_id): {
            "target": row.target,
            "status": row.status,
            "seq": row.seq,
            "input_ref": row.input_ref,
            "result_ref": row.result_ref,
            "is_reported": row.is_reported,
            "ended": row.ended_at_ns is not None,
        }
        for row in db.select(ExecutionRow, "executions")
    }
    return {
        "runs": {
            row.run_id: {
                "status": row.status,
                "started_at_ns": row.started_at_ns,
                "seq": row.seq,
                "changed_at_ns": row.changed_at_ns,
            }
            for row in db.select(RunRow, "runs")
        },
        "executions": executions,
        "sessions": {
            (row.session_id, row.run_id): {
                "target": row.target,
                "seq": row.seq,
                "close_reason": row.close_reason,
            }
            for row in db.select(SessionRow, "sessions")
        },
        "turns": {
            (row.run_id, row.turn_id): {"status": row.status, "seq": row.seq}
            for row in db.select(TurnRow, "turns")
        },
        "notes": {
            (row.run_id, row.seq): {"execution_id": row.execution_id, "note_ref": row.note_ref}
            for row in db.select(NoteRow, "notes")
        },
    }
