"""Adapter calls under way: how long each may take, and how it is ended by whoever must go first.

Knows no operation and no journal.
"""

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from dataclasses import dataclass
from types import TracebackType, coroutine
from typing import Any, Generic, TypeVar

from agentfield_rt.errors import Reason

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long an adapter call may take before its outcome counts as unknown."""

    connect_s: float = 15.0
    send_s: float = 5.0
    interrupt_s: float = 5.0
    refer_s: float = 10.0
    close_s: float = 5.0
    settle_s: float = 1.0


class Call:
    """One call under way, in the task that makes it: `with call:`.

    It ends as `asyncio.timeout` ends one, at its deadline or when it is superseded; a third of the cost
    is left, because most calls are over before anything must be timed.

    Attributes:
        listens: It waits for whatever comes, without a deadline.
        ends_as: Why it is ended, if it is.
    """

    __slots__ = (
        "_cancelling", "_expired", "_is_over", "_settled", "_task", "_timer",
        "ends_as", "listens", "op_id", "superseded",
    )  # fmt: skip

    def __init__(self, op_id: str, *, listens: bool = False) -> None:
        self.op_id = op_id
        self.listens = listens
        self.superseded = False
        self.ends_as = Reason.TIMEOUT
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._timer: asyncio.Handle | None = None
        self._expired = False
        self._settled: asyncio.Event | None = None
        self._is_over = False

    def __enter__(self) -> None:
        task = self._task = asyncio.current_task()
        assert task is not None
        self._cancelling = task.cancelling()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._timer is not None:
            self._timer.cancel()
        if self._expired and task is not None:
            # Somebody else's cancellation stays one (see `asyncio.Timeout`).
            if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def require_wanted(self) -> None:
        """The adapter is called now.

        Raises:
            TimeoutError: it was superseded before it began.
        """
        if self.superseded:
            raise TimeoutError

    def allow(self, seconds: float | None) -> None:
        """It may take so long from now on."""
        if seconds is not None and not self.superseded:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    @coroutine
    def perform(self, call: Awaitable[T], deadline_s: float | None) -> Generator[Any, Any, T]:
        """Make the call; from its first wait on, if it has one, it may take `deadline_s`."""
        steps = call.__await__()
        try:
            waits_for = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        self.allow(deadline_s)
        return (yield from Rest(steps, waits_for).__await__())

    def lose_connection(self, seconds: float) -> None:
        """It has so long to bring what came before the loss; after that nothing comes any more."""
        if self.ends_as is Reason.TIMEOUT:
            self.ends_as = Reason.CONNECTION_LOST
            self.allow(seconds)

    def supersede(self) -> None:
        """End it at its next await."""
        if self.superseded or self._expired:
            return
        self.superseded = True
        self.ends_as = Reason.SUPERSEDED
        if self._timer is not None:
            self._timer.cancel()
        # In its turn, as at a deadline: what has come by now is not thrown away.
        self._timer = asyncio.get_running_loop().call_soon(self._expire)

    def _expire(self) -> None:
        if self._task is not None:
            self._expired = True
            self._task.cancel()

    @property
    def settled(self) -> asyncio.Event:
        """Set once its outcome is written down."""
        if self._settled is None:
            self._settled = asyncio.Event()
            if self._is_over:
                self._settled.set()
        return self._settled

    def end(self) -> None:
        self._is_over = True
        if self._settled is not None:
            self._settled.set()


class Calls:
    """The calls of one session."""

    def __init__(self) -> None:
        self._calls: dict[Call, None] = {}  # in the order they began, so that a seed repeats a run

    def begin(self, op_id: str, *, listens: bool = False) -> Call:
        call = Call(op_id, listens=listens)
        self._calls[call] = None
        return call

    def end(self, call: Call) -> None:
        self._calls.pop(call, None)
        call.end()

    def supersede(self, *, but: Call | None = None) -> list[Call]:
        """End all of them but one; each settles itself."""
        others = [call for call in self._calls if call is not but]
        for call in others:
            call.supersede()
        return others

    def lose_connection(self, seconds: float) -> None:
        """Whoever listens learns it from the adapter, or after so long from us."""
        for call in self._calls:
            if call.listens:
                call.lose_connection(seconds)


class Rest(Generic[T]):
    """A call that waits, from its first wait on; awaited like the call itself."""

    __slots__ = ("_steps", "_waits_for")

    def __init__(self, steps: Generator[Any, Any, T] | Coroutine[Any, Any, T], waits_for: Any) -> None:
        self._steps = steps
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, T]:
        """Go on where the first step ended, as `yield from` would (PEP 380)."""
        waits_for = self._waits_for
        while True:
            try:
                try:
                    sent = yield waits_for
                except BaseException as error:
                    waits_for = self._steps.throw(error)
                else:
                    waits_for = self._steps.send(sent)
            except StopIteration as end:
                result: T = end.value
                return result


def first_step(call: Coroutine[Any, Any, T]) -> T | Rest[T]:
    """Run a call up to its first wait: its result, if it ended without one, or the rest of it.

    Most calls that hand a frame over do; such a call needs no deadline and no turn of the event loop.
    """
    try:
        waits_for = call.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    return Rest(call, waits_for)


def observe(task: asyncio.Task[None]) -> None:
    """The callers who wait hear of an error; when none does any more, the journal has it."""
    if not task.cancelled():
        task.exception()
