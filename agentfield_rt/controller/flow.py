"""Media under windows: one is open, the next is announced ahead. Knows no frames, no events, no adapter."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from agentfield_journal import JournalError
from agentfield_rt.controller.operations import Operations
from agentfield_rt.controller.window import Allowance
from agentfield_rt.core import commands


class Flow(ABC):
    """The window that is open.

    Attributes:
        op_id: Its operation; each renewal makes it another one.
        size: How much an intent announces.
        period: When what flowed is written down, also if nothing more flows.
    """

    __slots__ = ("allowance", "op_id", "period", "size")

    def __init__(self, op_id: str, size: int) -> None:
        self.op_id = op_id
        self.size = size
        self.allowance = Allowance(size)
        self.period: asyncio.TimerHandle | None = None

    @abstractmethod
    def outcome(self, renew: int = 0) -> commands.Flowed | commands.Received:
        """What flowed in the operation that is open."""

    @abstractmethod
    def count_anew(self) -> None:
        """What flows from now on belongs to the next operation."""


F = TypeVar("F", bound=Flow)


class Direction(ABC, Generic[F]):
    """Audio that is sent, or events that come.

    When half of a window has flowed, that is written down together with the next intent: some intent
    always stands, and it is on the disk long before it is needed.

    Attributes:
        flow: The window that is open.
    """

    def __init__(self, operations: Operations, period_s: float) -> None:
        self.flow: F | None = None
        self._operations = operations
        self._period_s = period_s
        operations.cut.append(self.cut)

    @abstractmethod
    def cut(self) -> None:
        """The connection is about to change: write down what is certain until now."""

    @abstractmethod
    async def _open(self) -> None:
        """Open a window, unless the session changed while its intent was on its way to the disk."""

    @abstractmethod
    def _tend(self, flow: F) -> None:
        """A period is over: write down what flowed."""

    async def usable(self) -> F | None:
        """The open window, if something may flow in it; otherwise one step is taken towards one."""
        flow = self.flow
        if flow is None:
            await self._open()
            return None
        if flow.allowance.left <= 0:
            await self._extend(flow)
            return None
        return flow

    async def _extend(self, flow: F) -> None:
        """All that was announced flowed before the next intent was durable: now it is waited for."""
        if flow.allowance.promised is None:
            self._renew(flow)
        if (cursor := flow.allowance.promised) is not None:
            await self._operations.durable(cursor)
            flow.allowance.keep(cursor)

    def _renew(self, flow: F) -> None:
        """Write down what flowed, and that as much again will."""
        if (renewed := self._operations.renew(flow.outcome(renew=flow.size))) is None:
            self._forget(flow)
            return
        flow.op_id, cursor = renewed
        flow.allowance.promise(cursor)
        flow.count_anew()
        self._watch(flow)

    def _close(self, flow: F) -> None:
        self._forget(flow)
        self._operations.settle_as(flow.outcome())

    def _forget(self, flow: F) -> None:
        if flow.period is not None:
            flow.period.cancel()
        if self.flow is flow:
            self.flow = None

    def _watch(self, flow: F) -> None:
        """See to it that what flowed is written down after a while, also when nothing more flows."""
        if flow.period is not None:
            flow.period.cancel()
        flow.period = asyncio.get_running_loop().call_later(self._period_s, self._period_over, flow)

    def _period_over(self, flow: F) -> None:
        flow.period = None
        with contextlib.suppress(JournalError):  # what could not be written is owed, or tried again
            self._tend(flow)
