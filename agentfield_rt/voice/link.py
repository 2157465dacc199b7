"""What a handler and its session say to each other, wherever the handler runs."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol

from agentfield_rt.core.records import Decision, TurnSource
from agentfield_rt.deliveries import DEADLINE_S, DeliveryOutcome
from agentfield_rt.errors import CloseReason, RealtimeError, Reason
from agentfield_rt.frames import RateLimit, Usage
from agentfield_rt.sinks import Destination, Output, Sink
from agentfield_rt.voice.digits import GatheredDigits


@dataclass(frozen=True, slots=True)
class Turn:
    """What the user said, complete.

    Attributes:
        id: Unique; the turn is delivered under it until it is answered.
        text: The words; empty when they were not understood.
        understood: False for speech that the recogniser rejected rather than guessed at.
        source: Whether it was spoken or typed.
    """

    id: str
    text: str
    understood: bool = True
    source: TurnSource = TurnSource.SPEECH


class UtteranceState(StrEnum):
    """Where an utterance is; the last four are final and written once."""

    PLANNED = "planned"
    SYNTHESISING = "synthesising"
    PLAYING = "playing"
    PLAYED = "played"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    SKIPPED = "skipped"


FINAL_STATES = frozenset(
    {UtteranceState.PLAYED, UtteranceState.INTERRUPTED, UtteranceState.FAILED, UtteranceState.SKIPPED}
)


@dataclass(frozen=True, slots=True)
class Spoken:
    """Something that was said. Of the agent it is what the caller heard.

    Attributes:
        id: The turn's, the utterance's, or that of an answer the model gave by itself.
    """

    by: Literal["user", "assistant"]
    id: str
    text: str


class HandlerLost(RealtimeError):
    """Whoever ran the handler is gone, and nobody else is there to go on."""


class UtteranceTicket(Protocol):
    """An utterance as the session's side reports on it."""

    @property
    def utterance_id(self) -> str: ...

    @property
    def state(self) -> UtteranceState: ...

    @property
    def heard(self) -> str:
        """What the caller heard of it so far."""
        ...

    @property
    def reason(self) -> Reason | None:
        """Why it failed or was skipped."""
        ...

    async def wait(self) -> None:
        """Return once the state is final. Cancelling one waiter does not touch the others."""
        ...

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` at each new state, before its reason and record are there. It must not raise."""
        ...


class LinkedDigits(Protocol):
    """What the caller dials (`voice.digits.Digits`)."""

    async def next(self) -> str | None: ...

    async def gather(
        self, *, max_digits: int, timeout_s: float | None, end_on: str = ""
    ) -> GatheredDigits | None: ...

    def give_back(self, digits: str) -> None: ...


class LinkedMeter(Protocol):
    """What the session costs (`voice.meter.Meter`)."""

    @property
    def usage(self) -> Usage: ...

    @property
    def rate_limits(self) -> tuple[RateLimit, ...]: ...

    def watch(self, watcher: Callable[[], None] | None) -> None:
        """Call `watcher` after each report; None: nobody any more. It must not raise."""
        ...


class LinkedPhone(Protocol):
    """The call, where it is one by telephone (`voice.phone.PhoneCall`)."""

    async def refer(self, target_uri: str) -> None: ...


class LinkedDeliveries(Protocol):
    """Hands output to the outside (`deliveries.Deliveries`)."""

    async def deliver(
        self,
        output: Output,
        destination: Destination,
        sink: Sink | None,
        *,
        required: bool = False,
        deadline_s: float = DEADLINE_S,
    ) -> DeliveryOutcome: ...

    async def reconcile(self, op_id: str, decision: Decision) -> None: ...


class LinkedRecall(Protocol):
    """What can be known when the handler begins anew (`voice.recall.Recall`)."""

    @property
    def state(self) -> dict[str, Any]: ...

    def keep(self, state: Mapping[str, Any]) -> None: ...

    async def history(self) -> tuple[Spoken, ...]: ...


class SessionLink(Protocol):
    """The session as a handler reaches it."""

    @property
    def session_id(self) -> str: ...

    @property
    def run_id(self) -> str: ...

    @property
    def metadata(self) -> Mapping[str, Any]: ...

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or is about to."""
        ...

    async def next_turn(self) -> Turn | None:
        """The next turn, or None when the session is over. Asking completes the turn before."""
        ...

    def say(self, text: str | None, instructions: str | None) -> UtteranceTicket:
        """Queue speech behind what is being said: `text` word for word, or an answer to `instructions`.

        Raises:
            SessionClosed: the session is over.
        """
        ...

    async def call(self, target: str, arguments: Mapping[str, Any]) -> Any:
        """Run a reasoner within this session's run and return its result.

        Raises:
            ExecutionFailed: it does not exist, raised, or was cancelled.
        """
        ...

    @property
    def digits(self) -> LinkedDigits: ...

    @property
    def meter(self) -> LinkedMeter: ...

    @property
    def deliveries(self) -> LinkedDeliveries: ...

    @property
    def phone(self) -> LinkedPhone: ...

    @property
    def recall(self) -> LinkedRecall: ...

    def give_back_turn(self) -> None:
        """Whoever took a turn is gone: without an answer it comes again, with one it is answered."""
        ...

    async def interrupt(self) -> None:
        """Stop what is being said and skip what waits; returns when it is silent."""
        ...

    async def close(self, reason: CloseReason = CloseReason.NORMAL) -> None: ...


Handler = Callable[[SessionLink], Awaitable[None]]
"""Runs one handler invocation to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRequest:
    """A reasoner to run; where it belongs decides its place in the workflow. No run: a new one."""

    target: str
    arguments: Mapping[str, Any]
    run_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    parent_execution_id: str | None = None


class Executor(Protocol):
    """Runs reasoners, wherever they live."""

    async def execute(self, request: ExecutionRequest) -> Any:
        """Run to the end and return the result. Where the caller is cancelled, so is the execution.

        Raises:
            ExecutionFailed: it does not exist, raised, or was cancelled.
        """
        ...
