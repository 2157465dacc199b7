"""Executions in memory: all that are open, and the last that ended. Reads and writes nothing."""

import math
from collections import OrderedDict
from collections.abc import Iterator

from agentfield_rt.plane.executions.execution import Execution

REMEMBERED_MAX = 10_000
"""Ended executions that are kept in memory; the journal has them all."""

REMEMBERED_BYTES_MAX = 64 * 1024 * 1024
"""How much of what came of them is kept in memory with them."""


class Known:
    """Finds executions by id, and those that another one called."""

    def __init__(self) -> None:
        self._open: dict[str, Execution] = {}
        self._ended: OrderedDict[str, Execution] = OrderedDict()
        self._ended_bytes = 0
        self._called: dict[str, dict[str, Execution]] = {}
        self._overdue_from = math.inf

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def open(self) -> list[Execution]:
        """All that are open, the oldest first."""
        return list(self._open.values())

    def find(self, execution_id: str) -> Execution | None:
        """One of them."""
        return self._open.get(execution_id) or self._ended.get(execution_id)

    def add(self, execution: Execution) -> None:
        """It is open from now on."""
        self._open[execution.execution_id] = execution
        self._overdue_from = min(self._overdue_from, _ends_at(execution))
        if execution.parent_execution_id is not None:
            called = self._called.setdefault(execution.parent_execution_id, {})
            called[execution.execution_id] = execution

    def overdue(self, now: float) -> list[Execution]:
        """The open ones whose time is over; all are looked at only when that may be so of the first."""
        if now < self._overdue_from:
            return []
        self._overdue_from = min(map(_ends_at, self._open.values()), default=math.inf)
        return [execution for execution in self._open.values() if execution.is_overdue(now)]

    def end(self, execution: Execution) -> None:
        """It is over; it is remembered until too many others are."""
        if self._open.pop(execution.execution_id, None) is None:
            return
        self._leave_parent(execution)
        self._ended[execution.execution_id] = execution
        self._ended_bytes += execution.words_bytes
        while len(self._ended) > REMEMBERED_MAX or self._ended_bytes > REMEMBERED_BYTES_MAX:
            _, oldest = self._ended.popitem(last=False)
            self._ended_bytes -= oldest.words_bytes

    def _leave_parent(self, execution: Execution) -> None:
        called = self._called.get(execution.parent_execution_id or "")
        if called is not None:
            called.pop(execution.execution_id, None)
            if not called:
                del self._called[execution.parent_execution_id or ""]

    def family(self, execution: Execution) -> Iterator[Execution]:
        """The execution, then all open ones that it called, those that they called, and so on."""
        yield execution
        for called in tuple(self._called.get(execution.execution_id, {}).values()):
            yield from self.family(called)


def _ends_at(execution: Execution) -> float:
    """When its time is over at the earliest."""
    return execution.created_at + execution.time_max_s if execution.time_max_s > 0 else math.inf
