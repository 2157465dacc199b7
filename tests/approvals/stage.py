"""A run that a test watches and breaks: appends with their time, or refused, and its end."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from agentfield_journal import Draft, JournalFull, JournalUnavailable, QueuedContentStore, StoreJournal
from agentfield_journal.content.store import MemoryContent
from agentfield_journal.envelope import Cursor
from agentfield_journal.ports import RunWriter
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.core.records import Record
from agentfield_rt.run import Run, decode
from tests.forwarding_writer import ForwardingWriter

RUN_ID = "run_stage_0001"
SESSION_ID = "sess_stage_0001"


@dataclass
class Faults:
    """What goes wrong next, and what was seen.

    Attributes:
        appends_left: None: all of them; 0: the process is as good as dead.
        full: So many appends are refused.
        appended: Time, kind and operation of each record.
        durable_seq: Up to here the journal has said that it is durable.
    """

    appends_left: int | None = None
    full: int = 0
    durable_seq: int = 0
    appended: list[tuple[float, str, str]] = field(default_factory=list[tuple[float, str, str]])


class StageWriter(ForwardingWriter):
    """A run's writer, until something is planned to go wrong. Satisfies `RunWriter`."""

    def __init__(self, inner: RunWriter, faults: Faults) -> None:
        super().__init__(inner)
        self._faults = faults

    def append(self, drafts: Sequence[Draft]) -> Cursor:
        faults = self._faults
        if faults.appends_left == 0:
            raise JournalUnavailable("the process is dead")
        if faults.full:
            faults.full -= 1
            raise JournalFull("no room just now")
        if faults.appends_left is not None:
            faults.appends_left -= 1
        now_s = asyncio.get_running_loop().time()
        faults.appended += [(now_s, draft.kind, draft.op_id or "") for draft in drafts]
        return self._inner.append(drafts)

    async def durable(self, cursor: Cursor) -> None:
        if self._faults.appends_left == 0:
            raise JournalUnavailable("the process is dead")
        await asyncio.sleep(0)
        await self._inner.durable(cursor)
        self._faults.durable_seq = max(self._faults.durable_seq, cursor.seq)


class Stage:
    """A journal and a content store for one test."""

    def __init__(self) -> None:
        self.journal = StoreJournal(MemoryStore())
        self.content = QueuedContentStore(MemoryContent())
        self.faults = Faults()

    async def open_run(self) -> Run:
        """A process: the one before can write no more."""
        writer = await self.journal.open_run(RUN_ID)
        self.faults = Faults(appended=self.faults.appended, durable_seq=writer.head.seq)
        return Run(StageWriter(writer, self.faults))

    async def history(self) -> list[Record]:
        """What the journal holds."""
        return [decode(envelope) for envelope in await self.journal.read(RUN_ID)]

    async def told_durable(self) -> list[Record]:
        """What somebody was told is durable, before now."""
        until = self.faults.durable_seq
        return (await self.history())[:until]

    async def kinds(self) -> list[str]:
        return [record.kind for record in await self.history()]

    async def close(self) -> None:
        await self.journal.close()
        await self.content.close()

    async def payloads(self) -> bytes:
        """Every byte of every durable record."""
        return b"".join(envelope.payload for envelope in await self.journal.read(RUN_ID))


async def settle() -> None:
    """Let everything happen that waits for nothing but its turn."""
    for _ in range(50):
        await asyncio.sleep(0)
