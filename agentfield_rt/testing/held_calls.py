"""A test's hand on the answers of a provider, and the list of what really happened there. Knows no events."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Literal

from agentfield_rt.errors import ConnectionLost, ProviderError, Reason

Method = Literal["connect", "send", "receive", "interrupt", "restart", "close"]
METHODS: tuple[Method, ...] = ("connect", "send", "receive", "interrupt", "restart", "close")


class Ending(StrEnum):
    """How a call went, as its caller saw it."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Acts(Enum):
    """Whether the provider did what a call asked."""

    NO = "no"
    PERHAPS = "perhaps"
    YES = "yes"


@dataclass(slots=True, eq=False)
class Call:
    """One call of an adapter method.

    Attributes:
        subject: What it is about: a frame's or a response's id; empty for the others.
        ending: What the caller saw.
        acts: What the provider did. `PERHAPS` where the adapter inside does not say.
    """

    method: Method
    subject: str = ""
    ending: Ending = Ending.RUNNING
    acts: Acts = Acts.NO


class EffectRepeated(AssertionError):
    """Something happened at the provider more than once for one operation."""


class Effects:
    """What happened at the provider, per operation. Several adapters may share one, as two owners would."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def of(self, subject: str, method: Method = "send") -> int:
        """How often this was done, or perhaps done."""
        return sum(call.subject == subject and call.method == method for call in self._happened())

    def repeated(self) -> dict[tuple[Method, str], int]:
        """What happened more than once, by method and subject; must be empty."""
        counts: Counter[tuple[Method, str]] = Counter()
        counts.update((call.method, call.subject) for call in self._happened() if call.subject)
        return {key: count for key, count in counts.items() if count > 1}

    def require_at_most_once(self) -> None:
        """Raises:
        EffectRepeated: naming what happened how often.
        """
        if repeated := self.repeated():
            told = ", ".join(f"{method} {subject}: {n} times" for (method, subject), n in repeated.items())
            raise EffectRepeated(f"at the provider, for one operation: {told}")

    def _happened(self) -> list[Call]:
        return [call for call in self.calls if call.acts is not Acts.NO]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a held call shall end.

    Attributes:
        acts: Whether the provider does it.
        error: What the caller sees instead of the answer.
        answers: False: the caller sees nothing, ever.
        after_s: How long the provider takes to act.
        copies, reversed: What becomes of the events of a `receive`.
    """

    acts: bool = True
    error: ProviderError | None = None
    answers: bool = True
    after_s: float = 0.0
    copies: int = 1
    reversed: bool = False


AT_ONCE = Verdict()


class Hold:
    """One coming call that is not answered before the test says how; decide once, before or after it arrives.

    Attributes:
        acted: The provider has acted as soon as the call arrives; only its answer is held.
    """

    def __init__(self, method: Method, *, acted: bool = False) -> None:
        self.method: Method = method
        self.acted = acted
        self.call: Call | None = None
        self._reached = asyncio.Event()
        self._decided = asyncio.Event()
        self._verdict: Verdict | None = None

    @property
    def reached(self) -> bool:
        """Whether the call has arrived."""
        return self.call is not None

    @property
    def decided(self) -> bool:
        return self._verdict is not None

    async def wait_reached(self) -> None:
        """Return once the call has arrived and waits here."""
        await self._reached.wait()

    def release(self, *, after_s: float = 0.0) -> None:
        """The provider does it and answers, `after_s` seconds from now."""
        self._decide(Verdict(after_s=after_s))

    def fail(self, error: ProviderError | None = None) -> None:
        """Certainly not done: the provider does nothing and the caller gets `error`."""
        error = error or ProviderError("refused by the test", reason=Reason.UNAVAILABLE)
        if self.acted or not error.not_done:
            raise ValueError("the provider has acted, or the error says it may have: use doubt()")
        self._decide(Verdict(acts=False, error=error))

    def lose(self, *, acted: bool = True) -> None:
        """The provider does it, or not, and its answer never comes."""
        self._decide(Verdict(acts=acted, answers=False))

    def doubt(self, *, acted: bool = True) -> None:
        """The provider does it, or not, and the caller is told that nobody knows."""
        doubt = ProviderError("nobody knows, says the test", reason=Reason.TIMEOUT, not_done=False)
        self._decide(Verdict(acts=acted, error=doubt))

    def drop(self, *, acted: bool = True) -> None:
        """The provider does it, or not, and the connection is lost before the answer."""
        self._decide(Verdict(acts=acted, error=ConnectionLost("dropped by the test")))

    def duplicate(self, copies: int = 2) -> None:
        """The provider answers a `receive` with every event `copies` times."""
        self._events_only()
        self._decide(Verdict(copies=copies))

    def reorder(self) -> None:
        """The provider answers a `receive` with its events the wrong way round."""
        self._events_only()
        self._decide(Verdict(reversed=True))

    async def verdict_on(self, call: Call) -> Verdict:
        """Wait, as the adapter, for what the test decides."""
        self.call = call
        self._reached.set()
        while self._verdict is None:
            await self._decided.wait()
        return self._verdict

    def _events_only(self) -> None:
        if self.method != "receive" or self.acted:
            raise ValueError("only the events of a receive can be duplicated or reordered; hold('receive')")

    def _decide(self, verdict: Verdict) -> None:
        if self._verdict is not None:
            raise ValueError(f"this held {self.method} was already decided")
        self._verdict = verdict
        self._decided.set()
