"""What waits for each node: a bounded number is on its way at once, and a node that is away is waited for.

Knows nothing of journals, nor of what carrying an execution means.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from agentfield_rt.plane.executions.execution import Execution

IN_FLIGHT_MAX = 256
"""Executions on their way to one remote node; those it has accepted are not counted."""

RUNNING_MAX = 1_000
"""Executions of one node of this process at once. What another one waits for is not kept waiting by them."""

BACKOFF_MIN_S = 0.1
BACKOFF_MAX_S = 30.0
"""How long a node that could not be reached is left alone; it is tried at once when it is heard of."""

Carry = Callable[[Execution], Coroutine[Any, Any, bool]]
"""Takes an execution to its node. False: it did not get there and is to be tried again."""


class Lane:
    """The executions of one node, in the order they came; those that others wait for come first.

    Args:
        is_there: Whether the node can be asked now.
        carried: Told of each task that carried an execution, once it is done.
    """

    def __init__(
        self,
        *,
        carry: Carry,
        carried: Callable[[Execution, "asyncio.Task[bool]"], None],
        is_there: Callable[[], bool],
        in_flight_max: int,
    ) -> None:
        self._carry = carry
        self._tell = carried
        self._is_there = is_there
        self._in_flight_max = in_flight_max
        self._waiting: OrderedDict[str, Execution] = OrderedDict()
        self._urgent: OrderedDict[str, Execution] = OrderedDict()
        self._in_flight: dict[str, asyncio.Task[bool]] = {}
        self._failures = 0
        self._pause: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def is_empty(self) -> bool:
        return not (self._waiting or self._urgent or self._in_flight)

    @property
    def waiting(self) -> int:
        """How many have not been sent."""
        return len(self._waiting) + len(self._urgent)

    @property
    def tasks(self) -> list["asyncio.Task[bool]"]:
        return list(self._in_flight.values())

    def put(self, execution: Execution) -> None:
        """Send it as soon as it may be sent."""
        self._line(execution)[execution.execution_id] = execution
        self._send()
        if execution.remote and execution.execution_id not in self._in_flight:
            execution.arguments = None  # it may wait long; they are in the content store

    def drop(self, execution: Execution) -> None:
        """It is not to be sent any more. One that is on its way is not touched."""
        self._line(execution).pop(execution.execution_id, None)

    def wake(self) -> None:
        """The node was heard of: try it at once."""
        self._failures = 0
        self._end_pause()
        self._send()

    def close(self) -> None:
        """Send nothing any more."""
        self._closed = True
        self._end_pause()

    def _line(self, execution: Execution) -> OrderedDict[str, Execution]:
        return self._urgent if execution.depth else self._waiting

    def _end_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _send(self) -> None:
        while (line := self._next_line()) is not None:
            execution_id, execution = line.popitem(last=False)
            task = asyncio.create_task(self._carry(execution), name=execution_id)
            self._in_flight[execution_id] = task
            task.add_done_callback(partial(self._carried, execution))

    def _next_line(self) -> OrderedDict[str, Execution] | None:
        """Where the next one is taken from; None: nothing may be sent now."""
        if self._closed or self._pause is not None or not (self._urgent or self._waiting):
            return None
        if (self._failures and self._in_flight) or not self._is_there():
            return None  # one alone finds out whether the node is back
        if self._urgent:
            return self._urgent
        return self._waiting if len(self._in_flight) < self._in_flight_max else None

    def _carried(self, execution: Execution, task: "asyncio.Task[bool]") -> None:
        del self._in_flight[execution.execution_id]
        self._tell(execution, task)
        failed = not task.cancelled() and task.exception() is None and not task.result()
        if not failed:
            self._failures = 0
        elif not execution.is_final:
            line = self._line(execution)
            line[execution.execution_id] = execution
            line.move_to_end(execution.execution_id, last=False)
            self._back_off()
        self._send()

    def _back_off(self) -> None:
        if self._closed or self._pause is not None:
            return
        wait_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** min(self._failures, 20))
        self._failures += 1
        self._pause = asyncio.get_running_loop().call_later(wait_s, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._send()
