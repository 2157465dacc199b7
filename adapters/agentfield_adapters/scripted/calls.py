"""What a scripted adapter was asked, and a test's hand on the answer. Knows no events."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError
from agentfield_rt.frames import InputFrame
from agentfield_rt.ports import ConnectRequest

Method = Literal["connect", "send", "receive", "interrupt", "restart", "close", "refer", "reject"]


class Outcome(StrEnum):
    """How a call went, as its caller saw it."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    LOST = "lost"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Interruption:
    """The arguments of one `interrupt`."""

    response_id: str
    heard_ms: int | None


Argument = ConnectRequest | InputFrame | Interruption | CloseReason | str | int


@dataclass(slots=True, kw_only=True)
class Call:
    """One call of an adapter method.

    Attributes:
        argument: What was passed; a number is the demand of a `receive`, a text the target of a `refer` or
            the call of a `reject`.
        outcome: What the caller saw.
        acted: Whether the provider did it. A lost or cancelled call may well have acted.
    """

    method: Method
    argument: Argument
    outcome: Outcome = Outcome.RUNNING
    acted: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a call shall end: `acts` says whether the provider does it, `error` what the caller sees."""

    acts: bool
    error: ProviderError | None = None


class Hold:
    """One coming call that does not answer before the test says how.

    Decide before or after the call arrives, once. None of the deciding methods awaits, so a
    Hypothesis rule can call them.
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self.call: Call | None = None
        self._reached = asyncio.Event()
        self._decided = asyncio.Event()
        self._verdict: Verdict | None = None

    @property
    def reached(self) -> bool:
        """Whether the call has arrived."""
        return self.call is not None

    async def wait_reached(self) -> None:
        """Return once the call has arrived and waits here."""
        await self._reached.wait()

    def release(self) -> None:
        """The provider does it and answers."""
        self._decide(Verdict(acts=True))

    def fail(self, error: ProviderError) -> None:
        """The caller gets `error`. With `error.not_done` false the provider did it all the same."""
        self._decide(Verdict(acts=not error.not_done, error=error))

    def lose(self, *, acted: bool = True) -> None:
        """The connection drops before the answer; whether the provider `acted` is the test's secret."""
        self._decide(
            Verdict(acts=acted, error=ConnectionLost("the scripted connection dropped before the answer"))
        )

    async def verdict_on(self, call: Call) -> Verdict:
        """Wait, as the adapter, for what the test decides."""
        self.call = call
        self._reached.set()
        while self._verdict is None:
            await self._decided.wait()
        return self._verdict

    def _decide(self, verdict: Verdict) -> None:
        if self._verdict is not None:
            raise ValueError(f"this held {self.method} was already decided")
        self._verdict = verdict
        self._decided.set()
