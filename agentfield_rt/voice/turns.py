"""What the user says: turns as they are committed, handed to the handler one at a time."""

import asyncio
from collections import deque
from collections.abc import Callable

from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import Reason
from agentfield_rt.voice.link import Turn

WAITING_MAX = 32
"""Turns nobody asked for yet. A handler that is further behind loses the oldest, and the journal says so."""


class Turns:
    """The turns of one session.

    Args:
        record: Writes a record for a turn.
        keep: Puts text into the content store and returns its reference.
    """

    def __init__(self, record: Callable[[Record, str | None], None], keep: Callable[[str], str]) -> None:
        self._record = record
        self._keep = keep
        self._waiting: deque[Turn] = deque()
        self._current: Turn | None = None
        self._ended = False
        self.answered_total = 0
        self.taken_total = 0
        self._wake = asyncio.Event()

    @property
    def current(self) -> Turn | None:
        """The turn the handler is answering."""
        return self._current

    @property
    def any_waiting(self) -> bool:
        """Whether a turn waits that nobody has asked for."""
        return bool(self._waiting)

    @property
    def ended(self) -> bool:
        """Whether no further turn will come."""
        return self._ended

    def commit(self, turn: Turn, *, spoken_until_ns: int | None) -> None:
        """The user has finished saying `turn`."""
        self._record(
            records.TurnStarted(
                op_id=turn.id,
                source=turn.source,
                understood=turn.understood,
                text_ref=self._keep(turn.text) if turn.text else None,
                spoken_until_ns=spoken_until_ns,
            ),
            turn.id,
        )
        if len(self._waiting) >= WAITING_MAX:
            dropped = self._waiting.popleft()
            self._record(records.TurnFailed(op_id=dropped.id, reason=Reason.UNAVAILABLE), dropped.id)
        self._waiting.append(turn)
        self._wake.set()

    async def next(self) -> Turn | None:
        """The next turn, or None when the session is over. The one before is answered by that."""
        self.complete()
        await self.waiting()
        if not self._waiting:
            return None
        self._current = self._waiting.popleft()
        self.taken_total += 1
        return self._current

    async def waiting(self) -> None:
        """Return once a turn waits, or none will come any more."""
        while not self._waiting and not self._ended:
            self._wake.clear()
            await self._wake.wait()

    def complete(self) -> None:
        """The handler has answered."""
        if (turn := self._take_current()) is not None:
            self.answered_total += 1
            self._record(records.TurnCompleted(op_id=turn.id), turn.id)

    def fail(self, reason: Reason) -> None:
        """The handler did not answer."""
        if (turn := self._take_current()) is not None:
            self._record(records.TurnFailed(op_id=turn.id, reason=reason), turn.id)

    def pass_over(self) -> None:
        """The handler was run for the turn that waits and did not ask for it."""
        if self._waiting:
            self._current = self._waiting.popleft()
            self.fail(Reason.HANDLER_ERROR)

    def end(self) -> None:
        """No further turns. Those that nobody answered failed."""
        self._ended = True
        self.complete()
        while self._waiting:
            turn = self._waiting.popleft()
            self._record(records.TurnFailed(op_id=turn.id, reason=Reason.CANCELLED), turn.id)
        self._wake.set()

    def _take_current(self) -> Turn | None:
        turn, self._current = self._current, None
        return turn
