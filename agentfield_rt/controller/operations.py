"""The journal's side of one session: every adapter call gets its durable intent and its one outcome here.

A commit (decide, append, evolve) never awaits, so it is atomic on the event loop and can be made
while a task is being cancelled.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from msgspec.structs import replace

from agentfield_journal import JournalError
from agentfield_journal.envelope import Cursor
from agentfield_rt.controller.calls import Call, Calls, Deadlines
from agentfield_rt.controller.tap import MediaTap
from agentfield_rt.core import commands, records
from agentfield_rt.core.decide import decide
from agentfield_rt.core.evolve import evolve
from agentfield_rt.core.outcomes import Records, next_op_id, succeeds
from agentfield_rt.core.records import WindowTally
from agentfield_rt.core.state import State
from agentfield_rt.errors import ConnectionLost, IllegalCommand, ProviderError, Reason, RepairNeeded
from agentfield_rt.run import Context, Run

T = TypeVar("T")


class Operations:
    """What a session has under way, in memory and in the journal.

    Attributes:
        state: The session as its journal tells it.
        calls: The adapter calls under way.
        cut: Called before the connection changes, to write down what flowed until then.
        tap: Is told of what flows, if somebody wants to know.
        is_abandoned: The provider is hung up on and no record says so yet: nothing new begins.
    """

    def __init__(self, run: Run, state: State, deadlines: Deadlines) -> None:
        self.state = state
        self.calls = Calls()
        self.deadlines = deadlines
        self.cut: list[Callable[[], None]] = []
        self.tap: MediaTap | None = None
        self.is_abandoned = False
        self._run = run
        self._context = Context(session_id=state.session_id)
        self._owed: list[commands.Command] = []

    @property
    def flows(self) -> bool:
        """Whether audio may go straight to the provider."""
        return self.state.flows and not self._owed

    async def operate(
        self,
        command: commands.Command,
        call: Callable[[Call], Awaitable[T]],
        succeed: Callable[[str, T], commands.Command | None],
        *,
        deadline_s: float | None = None,
        intent: Records | None = None,
    ) -> T:
        """Intent, call, outcome.

        Args:
            call: The adapter call; made once the intent is durable.
            succeed: What the call came to; None leaves the operation open.
            deadline_s: How long the call may take; None: as long as it likes.
            intent: What `command` was decided to, if it has been decided.
        """
        op_id = next_op_id(self.state)
        decided = intent or self.decide(command)
        self._require_wanted()
        cursor = self.commit(decided)
        generation = self.state.generation
        under_way = self.calls.begin(op_id, listens=isinstance(command, commands.Receive))
        called = False
        try:
            with under_way:
                await self._run.durable(cursor)
                under_way.require_wanted()
                called = True
                result = await under_way.perform(call(under_way), deadline_s)
            if (outcome := succeed(op_id, result)) is not None:
                self._succeeded(op_id, outcome)
            return result
        except BaseException as error:
            how = failure(error, under_way, called=called)
            told = self.failed(op_id, error, how, generation=generation)
            if told is error:
                raise
            raise told from error
        finally:
            self.calls.end(under_way)

    def _require_wanted(self) -> None:
        if self.is_abandoned:
            raise IllegalCommand("the provider is being hung up on; nothing more begins in this session")

    def _succeeded(self, op_id: str, outcome: commands.Command) -> None:
        decided = decide(self.state, outcome)
        self.commit(decided)
        if not succeeds(op_id, decided):
            raise _given_up(op_id)

    def require_connection(self) -> None:
        """It may have been given up while an intent was on its way to the disk.

        Raises:
            ProviderError: it was, so nothing has been done.
        """
        if not self.state.is_open:
            raise ProviderError("the connection was given up first", reason=Reason.SUPERSEDED, retryable=True)

    def require_open(self, op_id: str) -> None:
        """The journal still takes what this operation came to.

        Raises:
            ProviderError: it was closed meanwhile, as one of which nobody knows.
        """
        if op_id not in self.state.open_operations:
            raise _given_up(op_id)

    def failed(
        self,
        op_id: str,
        error: BaseException,
        how: "Failure",
        *,
        generation: int,
        window: WindowTally | None = None,
    ) -> BaseException:
        """Write down that an operation did not succeed; returns what its caller is to be told."""
        try:
            self.settle(op_id, how.reason, unknown=how.unknown, window=window)
        except JournalError:  # the outcome is owed
            is_cancelled = not isinstance(error, Exception)
            if not is_cancelled and not isinstance(error, JournalError):  # it may only have been slow
                raise
        # The loss of a connection that has been replaced since is no news.
        if isinstance(error, ConnectionLost) and generation == self.state.generation:
            self.lose(error.reason)
        if isinstance(error, TimeoutError):
            message = f"{op_id} did not finish in time: {how.reason}"
            if how.reason is Reason.CONNECTION_LOST:
                return ConnectionLost(message)
            return ProviderError(message, reason=how.reason, not_done=not how.unknown)
        return error

    def lose(self, reason: Reason) -> None:
        """The connection is gone."""
        self.cut_windows()
        self.commit(decide(self.state, commands.LoseConnection(reason)))
        self.calls.lose_connection(self.deadlines.settle_s)

    def cut_windows(self) -> None:
        """Write down what flowed until now, where that can still be said for certain."""
        for cut in self.cut:
            cut()

    def commit(self, decided: Records) -> Cursor:
        """Append and fold. Never awaits: nothing can happen in between."""
        if not decided:
            return self._run.head
        state = self.state
        for record in decided:
            state = evolve(state, record)
        cursor = self._run.append(decided, self._context)  # what cannot be folded is not written either
        self.state = state
        if self.tap is not None:
            self.tap.recorded(decided)
        return cursor

    def decide(self, command: commands.Command) -> Records:
        """What `command` leads to, once the journal has the outcomes it could not take before."""
        self.pay()
        return decide(self.state, command)

    def pay(self) -> None:
        """Write down what the journal could not take before."""
        while self._owed:
            self.commit(decide(self.state, self._owed[0]))
            self._owed.pop(0)

    def settle(self, op_id: str, reason: Reason, *, unknown: bool, window: WindowTally | None = None) -> None:
        """Close an operation that did not succeed."""
        outcome = commands.Unknown if unknown else commands.NotDone
        self.settle_as(outcome(op_id, reason, window))

    def settle_as(self, outcome: commands.Command) -> None:
        """Write an outcome down, now or as the first thing that the journal takes again."""
        if any(_op_id(owed) == _op_id(outcome) for owed in self._owed):
            return  # what it came to is known already
        try:
            self.pay()  # outcomes keep their order
            self.commit(decide(self.state, outcome))
        except JournalError:
            self._owed.append(outcome)
            raise

    def owe(self, outcome: commands.Command) -> None:
        """Write this down before anything else, as soon as the journal takes records."""
        self._owed.append(outcome)

    def renew(self, outcome: commands.Flowed | commands.Received) -> tuple[str, Cursor] | None:
        """Close a window and open the next one in one batch, so that some intent always stands.

        Returns:
            The next one's operation and the cursor of its intent; None if there can be no next one.

        Raises:
            JournalError: the window is still open.
        """
        try:
            decided = self.decide(outcome)
            self._require_wanted()
            self.require_open(outcome.op_id)
        except (IllegalCommand, ProviderError, RepairNeeded):
            with contextlib.suppress(JournalError):  # it is owed
                self.settle_as(replace(outcome, renew=0))
            return None
        opener = decided[-1]
        # A restart, too, overtakes no window: it cuts them before it begins.
        assert isinstance(opener, records.InputSendRequested | records.OutputReceiveRequested)
        return opener.op_id, self.commit(decided)

    async def durable(self, cursor: Cursor | None = None) -> None:
        """Return once everything up to `cursor` (default: all of it) is on stable storage."""
        await self._run.durable(cursor)


def _given_up(op_id: str) -> ProviderError:
    return ProviderError(f"{op_id} was given up", reason=Reason.SUPERSEDED, not_done=False)


def _op_id(command: commands.Command) -> str | None:
    return getattr(command, "op_id", None)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an operation did not succeed, and whether it is unknown if it had its effect."""

    reason: Reason
    unknown: bool


def failure(error: BaseException, call: Call | None, *, called: bool) -> Failure:
    """What `error` says of a call, which was made if `called`."""
    match error:
        case TimeoutError():
            return Failure(Reason.TIMEOUT if call is None else call.ends_as, called)
        case asyncio.CancelledError():
            return Failure(Reason.CANCELLED, called)
        case ProviderError():
            return Failure(error.reason, not error.not_done)
        case JournalError():
            return Failure(Reason.UNAVAILABLE, called)
        case _:
            return Failure(Reason.INTERNAL, called)
