"""What the user says: turns as they are committed, handed to the handler one at a time."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager

from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import Reason, TooManyTurns
from agentfield_rt.idle import Few, Signal
from agentfield_rt.voice.link import Turn

ANSWER_WITHIN_S = 300.0
"""A handler that has said nothing to a turn for so long hangs. The caller thinks so much earlier."""

WAITING_MAX = 32
"""Turns nobody asked for yet. No further one may be typed; one that was spoken cannot be refused, so the
oldest is lost, and the journal says so."""


class Turns:
    """The turns of one session.

    Args:
        record: Writes a record for a turn.
        keep: Puts text into the content store and returns its reference.
        answer_within_s: How long a handler may say nothing to the turn that it took.
    """

    def __init__(
        self,
        record: Callable[[Record, str | None], None],
        keep: Callable[[str], str],
        *,
        answer_within_s: float = ANSWER_WITHIN_S,
    ) -> None:
        self._record = record
        self._keep = keep
        self._answer_within_s = answer_within_s
        self._recorded: list[Turn] = []
        self._ready = Few[str]()
        self._waiting: list[Turn] = []
        self._current: Turn | None = None
        self._is_answered = False
        self._ended = False
        self._typed = 0
        self.answered_total = 0
        self.taken_total = 0
        self._wake = Signal()
        self._patience: asyncio.Timeout | None = None

    @property
    def current(self) -> Turn | None:
        """The turn the handler is answering."""
        return self._current

    @property
    def current_id(self) -> str | None:
        """Its id."""
        return None if self._current is None else self._current.id

    @property
    def any_waiting(self) -> bool:
        """Whether a turn waits that nobody has asked for."""
        return bool(self._waiting)

    @property
    def ended(self) -> bool:
        """Whether no further turn will come."""
        return self._ended

    @contextmanager
    def place(self) -> Generator[None]:
        """Keep a place for a turn that is being typed: what is told to have been taken is not lost.

        Raises:
            TooManyTurns: there is none.
        """
        if self._typed + len(self._recorded) + len(self._waiting) >= WAITING_MAX:
            raise TooManyTurns(
                f"{WAITING_MAX} turns wait for the handler; give it this one when it is less behind"
            )
        self._typed += 1
        try:
            yield
        finally:
            self._typed -= 1

    def commit(self, turn: Turn, *, spoken_until_ns: int | None) -> None:
        """The user has finished saying `turn`: write it down, and hand it out."""
        self.record(turn, spoken_until_ns=spoken_until_ns)
        self.hand_out(turn)

    def record(self, turn: Turn, *, spoken_until_ns: int | None) -> None:
        """Write down what the user said; `hand_out` must follow, or the session end."""
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
        self._recorded.append(turn)

    def hand_out(self, turn: Turn) -> None:
        """Let the handler have a turn that was recorded, behind those recorded before it.

        Where the session ended first, it has failed.
        """
        if turn not in self._recorded:
            return
        self._ready.add(turn.id)
        while self._recorded and self._recorded[0].id in self._ready:
            first = self._recorded.pop(0)
            self._ready.discard(first.id)
            self._queue(first)

    def _queue(self, turn: Turn) -> None:
        self._waiting.append(turn)
        self._wake.set()
        if len(self._waiting) > WAITING_MAX:
            dropped = self._waiting.pop(0)
            self._record(records.TurnFailed(op_id=dropped.id, reason=Reason.UNAVAILABLE), dropped.id)

    async def next(self) -> Turn | None:
        """The next turn, or None when the session is over. The one before is answered by that."""
        self.complete()
        await self.waiting()
        if self._ended:
            return None
        self.complete()  # another task of the handler may have taken one meanwhile
        self._current = self._waiting.pop(0)
        self._is_answered = False
        self._reschedule(asyncio.get_running_loop().time() + self._answer_within_s)
        self.taken_total += 1
        return self._current

    async def waiting(self) -> None:
        """Return once a turn waits, or none will come any more."""
        while not self._waiting and not self._ended:
            self._wake.clear()
            await self._wake.wait()

    def answer(self) -> str | None:
        """The handler says or does something that ends its turn well; returns the turn's id."""
        self._is_answered = True
        self._reschedule(None)
        return self.current_id

    def bound_by(self, patience: asyncio.Timeout | None) -> None:
        """Let `patience` run out where the handler says nothing to the turn that it took."""
        self._patience = patience

    def complete(self) -> None:
        """The handler has answered."""
        if (turn := self._take_current()) is not None:
            self.answered_total += 1
            self._record(records.TurnCompleted(op_id=turn.id), turn.id)

    def fail(self, reason: Reason) -> None:
        """The handler did not answer."""
        if (turn := self._take_current()) is not None:
            self._record(records.TurnFailed(op_id=turn.id, reason=reason), turn.id)

    def give_back(self) -> None:
        """Whoever took it is gone: the turn is answered if anything was said to it; else it comes again."""
        if self._is_answered:
            self.complete()
        elif (turn := self._take_current()) is not None:
            self._waiting.insert(0, turn)
            self.taken_total -= 1
            self._wake.set()

    def lose(self) -> bool:
        """Nobody is there to handle the call: the next turn fails. False: none waits for an answer."""
        self.give_back()
        if not self._waiting:
            return False
        self._current = self._waiting.pop(0)
        self.fail(Reason.PROCESS_LOST)
        return True

    def pass_over(self) -> None:
        """The handler was run for the turn that waits and did not ask for it."""
        if self._waiting:
            self._current = self._waiting.pop(0)
            self.fail(Reason.HANDLER_ERROR)

    def end(self) -> None:
        """No further turns. Those that nobody answered failed; nobody waits for more."""
        self._ended = True
        self._wake.set()
        if self._is_answered:
            self.complete()
        self.fail(Reason.CANCELLED)
        for unanswered in (self._waiting, self._recorded):
            while unanswered:
                turn = unanswered.pop(0)
                self._record(records.TurnFailed(op_id=turn.id, reason=Reason.CANCELLED), turn.id)

    def _take_current(self) -> Turn | None:
        turn, self._current = self._current, None
        if turn is not None:
            self._reschedule(None)
        return turn

    def _reschedule(self, at_s: float | None) -> None:
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(at_s)
