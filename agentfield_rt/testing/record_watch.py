"""A run writer that keeps what passes through it: every record taken, and the state that is durable."""

from collections.abc import Sequence

import msgspec

from agentfield_journal import Cursor, Draft, RunWriter
from agentfield_rt.core.evolve import evolve
from agentfield_rt.core.lifecycle import OPENS, TRANSITIONS
from agentfield_rt.core.records import RECORD_TYPES, Record
from agentfield_rt.core.state import State


class RecordWatch:
    """A `RunWriter` in front of another one, for the records of one session at the provider boundary.

    Attributes:
        appended: Every record taken, in order.
        durable_state: The fold of the records that somebody was told are durable.
        durable_openers: The openers among those.
    """

    def __init__(self, inner: RunWriter, session_id: str) -> None:
        self._inner = inner
        self._first_seq = inner.head.seq
        self._folded = 0
        self._taken: list[Record] = []
        self.appended: list[Record] = []
        self.durable_state = State(session_id=session_id)
        self.durable_openers: list[Record] = []

    @property
    def run_id(self) -> str:
        return self._inner.run_id

    @property
    def epoch(self) -> int:
        return self._inner.epoch

    @property
    def head(self) -> Cursor:
        return self._inner.head

    def append(self, drafts: Sequence[Draft]) -> Cursor:
        cursor = self._inner.append(drafts)
        taken = [msgspec.msgpack.decode(draft.payload, type=RECORD_TYPES[draft.kind]) for draft in drafts]
        self._taken += taken
        self.appended += [record for record in taken if type(record) in TRANSITIONS]
        return cursor

    async def durable(self, cursor: Cursor) -> None:
        await self._inner.durable(cursor)
        while self._folded < cursor.seq - self._first_seq:
            record = self._taken[self._folded]
            self._folded += 1
            if type(record) in TRANSITIONS:
                self.durable_state = evolve(self.durable_state, record)
                if type(record) in OPENS:
                    self.durable_openers.append(record)

    async def release(self) -> None:
        await self._inner.release()
