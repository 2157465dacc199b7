"""Control from one task straight to another: no turn of the event loop, which costs more than most events do.

Stands on what asyncio documents for libraries that bring tasks of their own: who says which task runs now.
"""

import asyncio
from asyncio.tasks import _enter_task as enter_task  # pyright: ignore[reportPrivateUsage]
from asyncio.tasks import _leave_task as leave_task  # pyright: ignore[reportPrivateUsage]
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVar

A = TypeVar("A")
T = TypeVar("T")


class Handover(asyncio.Future[None]):
    """A future that can let the task that waits for it go on at once.

    Cancelled or given a result in the ordinary way, it is an ordinary future.
    """

    __slots__ = ("_waiter",)

    def __init__(self) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._waiter: tuple[Callable[[Handover], object], Context] | None = None

    def add_done_callback(
        self, fn: Callable[["Handover"], object], /, *, context: Context | None = None
    ) -> None:
        """As of any future. A task that begins to wait calls this with its context."""
        super().add_done_callback(fn, context=context)
        if context is not None:
            self._waiter = fn, context

    def give(self) -> None:
        """Give the result. The task that waits runs here and now, up to its next wait; then this returns.

        Whoever gives must have nothing half done: what runs may do anything that a task may.
        """
        if self._waiter is None:
            self.set_result(None)
            return
        go_on, context = self._waiter
        self.remove_done_callback(go_on)  # not once more, in the next turn
        self.set_result(None)
        context.run(run_as, None, go_on, self)


def run_as(task: asyncio.Task[Any] | None, step: Callable[[A], T], argument: A) -> T:
    """Call `step` as a part of `task`: an `asyncio.timeout` in there is bound to it. None: of no task."""
    loop = asyncio.get_running_loop()
    running = asyncio.current_task(loop)
    if running is not None:
        leave_task(loop, running)
    if task is not None:
        enter_task(loop, task)
    try:
        return step(argument)
    finally:
        if task is not None:
            leave_task(loop, task)
        if running is not None:
            enter_task(loop, running)
