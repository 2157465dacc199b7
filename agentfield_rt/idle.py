"""What a session keeps while nothing happens, in little memory: most sessions wait most of the time.

A deque takes 760 bytes when it is empty, and an `asyncio.Event` contains one. A set takes 216.
"""

import asyncio
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


class Signal:
    """An `asyncio.Event` in an eighth of the memory."""

    __slots__ = ("_is_set", "_waiters")

    def __init__(self) -> None:
        self._is_set = False
        self._waiters: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Wake everybody who waits, and let nobody wait until it is cleared."""
        self._is_set = True
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        self._is_set = False

    async def wait(self) -> None:
        """Return once it is set."""
        if self._is_set:
            return
        if self._waiters is None:
            self._waiters = []
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)


class Lock:
    """An `asyncio.Lock` for `async with`, in a fraction of the memory, and cheap to take while it is free.

    It goes to whoever waits longest and is never free in between, so nobody who comes later is faster.
    """

    __slots__ = ("_is_held", "_waiters")

    def __init__(self) -> None:
        self._is_held = False
        self._waiters: list[asyncio.Future[None]] | None = None

    def locked(self) -> bool:
        return self._is_held

    async def __aenter__(self) -> None:
        if not self._is_held:
            self._is_held = True
            return
        if self._waiters is None:
            self._waiters = []
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif not waiter.cancelled():  # it was given to us, and we do not want it any more
                self._pass_on()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        while self._waiters:
            waiter = self._waiters.pop(0)
            if not waiter.done():
                waiter.set_result(None)
                return
        self._is_held = False


class Few(dict[T, None]):
    """A set that is empty most of the time, in a third of the memory, and in the order of what was added."""

    __slots__ = ()

    def add(self, each: T) -> None:
        self[each] = None

    def discard(self, each: T) -> None:
        self.pop(each, None)


class Recent:
    """The last `ids_max` ids that were added."""

    __slots__ = ("_ids", "_ids_max")

    def __init__(self, ids_max: int) -> None:
        self._ids: dict[str, None] = {}
        self._ids_max = ids_max

    def add(self, each_id: str) -> None:
        self._ids[each_id] = None
        if len(self._ids) > self._ids_max:
            del self._ids[next(iter(self._ids))]

    def __contains__(self, each_id: object) -> bool:
        return each_id in self._ids
