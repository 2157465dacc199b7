"""What is delivered, where to, and what carries it. Knows no run and no journal."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from agentfield_rt.core.records import DeliveryKind
from agentfield_rt.errors import RealtimeError, Reason

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")


def check_name(what: str, name: str) -> None:
    """Refuse what cannot stand in a journal as a name.

    Raises:
        ValueError: it is no name; says what one looks like, and not what was given.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{what} must be a name of up to 128 letters, digits and ._:/- without spaces")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where output goes. Both are names and stand in the journal: an address belongs into the sink.

    Attributes:
        kind: Such as `crm` or `ticket`.
        id: Which one, such as `case-42`.
    """

    kind: str
    id: str

    def __post_init__(self) -> None:
        check_name("a destination's kind", self.kind)
        check_name("a destination's id", self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What is delivered.

    Attributes:
        source_id: The turn, utterance, execution or content ref it comes from.
        version: A correction of the same output is a new version, and is delivered again.
        part: Its place, for one of several parts.
    """

    source_id: str
    body: bytes = field(repr=False)
    content_type: str = "application/json"
    version: int = 1
    delivery: DeliveryKind = DeliveryKind.RESULT
    part: int = 0

    def __post_init__(self) -> None:
        check_name("an output's source_id", self.source_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """An output on its way, as a sink gets it.

    Attributes:
        op_id: This try's id.
        dedupe_key: The same for every try; a receiver that remembers it takes an output once.
    """

    op_id: str
    dedupe_key: str
    run_id: str
    destination: Destination
    content_type: str
    body: bytes = field(repr=False)


class SinkError(RealtimeError):
    """A sink could not deliver.

    Args:
        not_done: It certainly did not arrive, so it may be tried again. Otherwise nobody knows.
    """

    def __init__(self, message: str, *, reason: Reason, not_done: bool) -> None:
        super().__init__(message)
        self.reason = reason
        self.not_done = not_done


class Sink(Protocol):
    """Carries parcels. May be called for several at once, and cancelled at any await."""

    @property
    def name(self) -> str:
        """Stands in the journal, and is part of what makes two deliveries the same."""
        ...

    async def send(self, parcel: Parcel) -> str | None:
        """Deliver it, once, and return what the receiver answered, if that is worth keeping.

        Raises:
            SinkError: with `not_done` only if it certainly did not arrive. Anything else raised here says
                nothing about that.
        """
        ...


@dataclass(frozen=True, slots=True)
class CallableSink:
    """A function as a sink."""

    name: str
    function: Callable[[Parcel], Awaitable[str | None]]

    async def send(self, parcel: Parcel) -> str | None:
        return await self.function(parcel)
