"""What a session keeps while nothing happens, in little memory: most sessions wait most of the time.

A deque takes 760 bytes when it is empty, and an `asyncio.Event` contains one.
"""

import asyncio


class Signal:
    """An `asyncio.Event` in an eighth of the memory."""

    __slots__ = ("_is_set", "_waiters")

    def __init__(self) -> None:
        self._is_set = False
        self._waiters: list[asyncio.Future[None]] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Wake everybody who waits, and let nobody wait until it is cleared."""
        self._is_set = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        self._is_set = False

    async def wait(self) -> None:
        """Return once it is set."""
        if self._is_set:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)


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
