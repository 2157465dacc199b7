"""Adapter calls under way: how long each may take, and how it is ended by whoever must go first.

Knows no operation and no journal.
"""

import asyncio
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long an adapter call may take before its outcome counts as unknown."""

    connect_s: float = 15.0
    send_s: float = 5.0
    interrupt_s: float = 5.0
    close_s: float = 5.0
    settle_s: float = 1.0


@dataclass(slots=True, eq=False)
class Call:
    """One call; make it inside a running loop and run it under its `deadline`."""

    deadline: asyncio.Timeout = field(default_factory=lambda: asyncio.timeout(None))
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    superseded: bool = False

    def allow(self, seconds: float | None) -> None:
        """The call begins now and may take so long.

        Raises:
            TimeoutError: it was superseded before it began.
        """
        if self.superseded:
            raise TimeoutError
        if seconds is not None:
            self.deadline.reschedule(asyncio.get_running_loop().time() + seconds)

    def supersede(self) -> None:
        """End it at its next await."""
        if not self.superseded and not self.deadline.expired():
            self.superseded = True
            self.deadline.reschedule(asyncio.get_running_loop().time())


class Calls:
    """The calls of one session, by operation id."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}

    def begin(self, op_id: str) -> Call:
        self._calls[op_id] = call = Call()
        return call

    def end(self, op_id: str) -> None:
        self._calls.pop(op_id).settled.set()

    def supersede(self, *, but: str | None = None) -> list[Call]:
        """End all of them but one; each settles itself."""
        others = [call for op_id, call in self._calls.items() if op_id != but]
        for call in others:
            call.supersede()
        return others
