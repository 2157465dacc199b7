"""Errors thrown into a coroutine at any of its awaits."""

from collections.abc import Callable, Coroutine, Generator
from typing import Any


class Thrown(Exception):
    """What a test throws into an await."""


class Throws:
    """Runs `work` and throws `error` into its n-th await, the first being 0.

    Attributes:
        thrown: Whether there was such an await.
    """

    def __init__(self, at: int, error: Callable[[], BaseException] = Thrown, *, times: int = 1) -> None:
        self._at, self._error, self._times = at, error, times
        self._awaits = 0
        self.thrown = False

    async def around(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await _Steps(self, work)

    def next_error(self) -> BaseException | None:
        here = self._awaits
        self._awaits += 1
        if not self._at <= here < self._at + self._times:
            return None
        self.thrown = True
        return self._error()


class _Steps:
    def __init__(self, throws: Throws, work: Coroutine[Any, Any, Any]) -> None:
        self._throws, self._work = throws, work

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._work.__await__()
        advance: Callable[[], Any] = lambda: next(steps)  # noqa: E731
        while True:
            try:
                waits_for = advance()
            except StopIteration as end:
                return end.value
            error = self._throws.next_error()
            if error is not None:
                if waits_for is not None:
                    waits_for._asyncio_future_blocking = False  # nobody waits for it any more
                advance = _thrower(steps, error)
                continue
            try:
                sent = yield waits_for
            except BaseException as thrown:
                advance = _thrower(steps, thrown)
            else:
                advance = _sender(steps, sent)


def _thrower(steps: Any, error: BaseException) -> Callable[[], Any]:
    return lambda: steps.throw(error)


def _sender(steps: Any, value: Any) -> Callable[[], Any]:
    return lambda: steps.send(value)
