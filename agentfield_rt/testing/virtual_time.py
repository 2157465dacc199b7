"""An event loop whose clock jumps to the next timer when nothing is ready. Knows no session and no journal.

Hours pass in milliseconds, exactly; which of the ready tasks goes first is drawn from a seed; what would hang
for ever, wait really, or leave the process raises and says so.
"""

import asyncio
import functools
import random
import selectors
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context, copy_context
from typing import Any, Literal, NoReturn, ParamSpec, TypeVar, TypeVarTuple

P = ParamSpec("P")
T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

Threads = Literal["refuse", "inline"]
"""What becomes of work for a thread: an error, or it runs at once on the loop, in no virtual time."""

HOURS_MAX = 24.0
TURNS_AT_ONCE_MAX = 1_000_000
START_NS = 1_767_225_600_000_000_000
"""The virtual wall clock starts on 1 January 2026."""

_NS = 1_000_000_000
_OUTSIDE = (
    "add_reader", "add_writer", "connect_accepted_socket", "connect_read_pipe", "connect_write_pipe",
    "create_connection", "create_datagram_endpoint", "create_server", "create_unix_connection",
    "create_unix_server", "getaddrinfo", "getnameinfo", "sendfile", "sock_accept", "sock_connect",
    "sock_recv", "sock_recv_into", "sock_recvfrom", "sock_sendall", "sock_sendto", "start_tls",
    "subprocess_exec", "subprocess_shell",
)  # fmt: skip


class NothingCanHappen(RuntimeError):
    """Every task waits and no timer is left: outside of virtual time this would hang for ever."""


class TimeIsUp(RuntimeError):
    """The work goes on for longer than it was given, in virtual time or in turns without any time passing."""


class OutsideWorld(RuntimeError):
    """A socket, a process or a thread: they live in real time. Put a fake in its place."""


class _Clock(selectors.BaseSelector):
    """The time asked for passes here. The real selector is not asked: nothing outside wakes this loop."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self._turns_at_once = 0
        self.now_ns = 0
        self.ends_ns = 0
        self.turn: Callable[[], None] = lambda: None
        self.stuck: Callable[[], str] = lambda: ""

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turn()
        if timeout is None:
            raise NothingCanHappen(f"every task waits and no timer is left: {self.stuck()}")
        if timeout > 0:
            # Whole nanoseconds, so that 180,000 times 20 ms are an hour and not a little more.
            self.now_ns += round(timeout * _NS)
            self._turns_at_once = 0
            if self.now_ns > self.ends_ns:
                raise TimeIsUp(
                    f"still at work after {self.ends_ns / _NS / 3600:g} virtual hours: {self.stuck()}"
                )
        else:
            self._turns_at_once += 1
            if self._turns_at_once > TURNS_AT_ONCE_MAX:
                self._turns_at_once = 0
                raise TimeIsUp(f"{TURNS_AT_ONCE_MAX:,} turns and no time has passed: {self.stuck()}")
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Hours in milliseconds.

    Args:
        seed: Chooses the order of the tasks that are ready in the same turn; None keeps asyncio's own, first
            in, first out. Callbacks that are no tasks keep their order, as asyncio promises.
        hours: How long the loop may run, in virtual time.
        threads: What `run_in_executor` and `asyncio.to_thread` do.
    """

    def __init__(
        self, *, seed: int | None = None, hours: float = HOURS_MAX, threads: Threads = "refuse"
    ) -> None:
        self._chance: random.Random | None = None
        self._virtual = _Clock()
        self._virtual.ends_ns = round(hours * 3600 * _NS)
        self._virtual.turn = self._shuffle
        self._virtual.stuck = self._who_waits
        self.reseed(seed)
        self._threads = threads
        self._owner = threading.get_ident()
        self._steps: list[Callable[[], object]] = []
        self._shuffled: list[Callable[[], object]] = []
        super().__init__(self._virtual)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._virtual.now_ns / _NS

    def time_ns(self) -> int:
        """A wall clock in nanoseconds since the epoch, for what takes an `agentfield_rt.ports.Clock`."""
        return START_NS + self._virtual.now_ns

    def turn(self, times: int = 1) -> None:
        """Run so many turns, or until nothing waits for its turn only; timers do not move."""
        for _ in range(times):
            if not self._has_work():
                return
            self.stop()
            self.run_forever()

    def _has_work(self) -> bool:
        """Asking costs a tenth of a turn in which nothing is ready, and most of those asked for are."""
        inside: dict[str, Any] = vars(self)
        if inside["_ready"]:
            return True
        timers: list[asyncio.TimerHandle] = inside["_scheduled"]  # a heap
        return bool(timers) and timers[0].when() - self.time() < 1 / _NS  # as asyncio, to the clock's tick

    def reseed(self, seed: int | None) -> None:
        """Draw the order of ready tasks from `seed` from now on."""
        self._chance = None if seed is None else random.Random(seed)

    def call_soon(
        self,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """As asyncio's, but a task's step takes its place by lot among the steps of its turn."""
        is_step = isinstance(getattr(callback, "__self__", None), asyncio.Task)
        if self._chance is None or not is_step:
            return super().call_soon(callback, *args, context=context)
        own = copy_context() if context is None else context  # an empty one is false
        self._steps.append(functools.partial(own.run, callback, *args))
        return super().call_soon(self._next_step)

    def call_soon_threadsafe(
        self,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        if threading.get_ident() != self._owner:
            raise OutsideWorld("a thread calls back into virtual time, which does not wait for threads")
        return super().call_soon_threadsafe(callback, *args, context=context)

    def run_in_executor(
        self, executor: object, func: Callable[[*Arguments], T], *args: *Arguments
    ) -> "asyncio.Future[T]":
        """Run `func` at once, here, if threads are `inline`.

        Raises:
            OutsideWorld: threads are refused.
        """
        if self._threads == "refuse":
            raise OutsideWorld(
                f"{getattr(func, '__qualname__', func)} is work for a thread; run with threads='inline'"
                " to do it on the loop, or put a fake in its place"
            )
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def _shuffle(self) -> None:
        """Once in each turn: draw the order of the steps that are ready."""
        if self._steps:
            if self._chance is not None:
                self._chance.shuffle(self._steps)
            self._shuffled += self._steps
            self._steps = []

    def _next_step(self) -> None:
        self._shuffled.pop()()

    def _who_waits(self) -> str:
        waiting = sorted(f"{task.get_name()} {_place(task)}" for task in asyncio.all_tasks(self))
        return ", ".join(waiting) or "there is no task"


def _place(task: "asyncio.Task[Any]") -> str:
    frames = task.get_stack(limit=1)
    return f"at {frames[0].f_code.co_filename.rpartition('/')[2]}:{frames[0].f_lineno}" if frames else ""


def _refusing(name: str) -> Callable[..., NoReturn]:
    def refuse(self: VirtualTimeLoop, *_: Any, **__: Any) -> NoReturn:
        raise OutsideWorld(f"{name}: there are no sockets and no processes in virtual time; use a fake")

    refuse.__name__ = name
    return refuse


for _name in _OUTSIDE:
    setattr(VirtualTimeLoop, _name, _refusing(_name))


def run(
    work: Coroutine[Any, Any, T],
    *,
    seed: int | None = None,
    hours: float = HOURS_MAX,
    threads: Threads = "refuse",
) -> T:
    """`asyncio.run` in virtual time. An error that comes out names the seed that leads to it.

    Args:
        seed: Chooses the order of ready tasks; the same seed gives the same run.
        hours: How long it may take, in virtual time.

    Raises:
        NothingCanHappen: it would hang for ever; the message says who waits where.
        TimeIsUp: it takes longer than `hours`.
        OutsideWorld: it wants a socket, a process or a thread.
    """
    with asyncio.Runner(
        loop_factory=lambda: VirtualTimeLoop(seed=seed, hours=hours, threads=threads)
    ) as runner:
        try:
            return runner.run(work)
        except Exception as error:
            if seed is not None:
                error.add_note(f"in virtual time, with seed={seed}")
            raise


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on a loop of its own, on which waiting costs nothing."""

    @functools.wraps(test)
    def in_its_own_loop(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return in_its_own_loop


async def time_passes(seconds: float) -> None:
    """Let so much virtual time pass, and all that is due in it happen."""
    if not isinstance(asyncio.get_running_loop(), VirtualTimeLoop):
        raise OutsideWorld("this would really wait; run it in virtual time")
    await asyncio.sleep(seconds)
