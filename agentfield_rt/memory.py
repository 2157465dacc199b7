"""What memory is: scopes, values, vectors, changes, and the port to whoever keeps it. Knows no store."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, TypedDict

import msgspec

from agentfield_rt.errors import RealtimeError

__all__ = [
    "Change",
    "Entry",
    "Interest",
    "Match",
    "MemoryAccessError",
    "MemoryFull",
    "MemoryPort",
    "MemoryRefused",
    "Scope",
    "Section",
    "TooSlow",
    "Where",
    "as_json",
    "matches",
]

KEY_CHARS_MAX = 512
VALUE_BYTES_MAX = 256 * 1024
"""One value as JSON, or the metadata of one vector."""

DIMENSIONS_MAX = 4_096
MATCHES_MAX = 1_000
PATTERNS_MAX = 64

GLOBAL_ID = "global"


class Scope(StrEnum):
    """Whose a value is, in the order in which they are searched."""

    WORKFLOW = "workflow"
    SESSION = "session"
    ACTOR = "actor"
    GLOBAL = "global"


class MemoryAccessError(RealtimeError):
    """Memory could not be reached, or does not answer; it may later."""


class MemoryRefused(MemoryAccessError):
    """The caller's fault: nothing was changed, and the same again will be refused again."""


class MemoryFull(MemoryAccessError):
    """There is no room for it; delete something."""


class TooSlow(RealtimeError):
    """More changes came than one who watches may leave waiting; from here on they were not kept for it.

    Args:
        missed: How many there were until it noticed.
    """

    def __init__(self, missed: int) -> None:
        super().__init__(f"{missed} changes came faster than they were read; the history has the latest")
        self.missed = missed


@dataclass(frozen=True, slots=True)
class Section:
    """One workflow's, one session's, one actor's or everybody's part of memory."""

    scope: Scope
    scope_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where somebody stands who uses memory: the ids that AgentField's headers bring.

    Attributes:
        agent_id: Who it is; whoever watches is told.
        scope: Only this one; None for what `one` and `reach` say.
    """

    workflow_id: str | None = None
    session_id: str | None = None
    actor_id: str | None = None
    agent_id: str | None = None
    scope: Scope | None = None

    def one(self) -> Section:
        """Where something is written: the scope that was asked for, otherwise the narrowest there is.

        Raises:
            MemoryRefused: nothing says whose the scope that was asked for is.
        """
        return self.reach()[0]

    def reach(self) -> tuple[Section, ...]:
        """Where something is looked for, in this order.

        Raises:
            MemoryRefused: nothing says whose the scope that was asked for is.
        """
        ids = {
            Scope.WORKFLOW: self.workflow_id,
            Scope.SESSION: self.session_id,
            Scope.ACTOR: self.actor_id,
            Scope.GLOBAL: GLOBAL_ID,
        }
        if self.scope is None:
            return tuple(Section(scope, scope_id) for scope, scope_id in ids.items() if scope_id)
        scope_id = ids[self.scope]
        if not scope_id:
            raise MemoryRefused(
                f"nothing says whose {self.scope} this is: name it, {self.scope}(ID) in code,"
                f" X-{self.scope.title()}-ID over HTTP"
            )
        return (Section(self.scope, scope_id),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A value. `data` is its JSON; times are nanoseconds since 1970."""

    key: str
    section: Section
    data: bytes = field(repr=False)
    created_at_ns: int
    updated_at_ns: int


class Match(TypedDict):
    """A vector that is like the one looked for, as JSON has it.

    `score` is the cosine of the angle between them, -1 to 1; `distance` is 1 - `score`. Times are ISO 8601.
    """

    key: str
    score: float
    distance: float
    metadata: dict[str, Any]
    scope: str
    scope_id: str
    created_at: str
    updated_at: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody set or deleted a value. AgentField's shape; `timestamp` is ISO 8601 in UTC.

    `metadata` says who: `agent_id`, `actor_id`, `workflow_id`, as far as it is known.
    """

    id: str
    timestamp: str
    scope: Scope
    scope_id: str
    key: str
    action: Literal["set", "delete"]
    data: Any = None
    previous_data: Any = None
    metadata: dict[str, str] = {}
    type: str = "memory_change"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    """Which changes somebody watches for; without a pattern, a scope or an id, all of them."""

    patterns: Sequence[str] = ()
    scope: Scope | None = None
    scope_id: str | None = None

    def takes(self, section: Section, key: str) -> bool:
        """Whether a change of `key` there is one of them."""
        return (
            self.scope in (None, section.scope)
            and self.scope_id in (None, section.scope_id)
            and (not self.patterns or any(matches(pattern, key) for pattern in self.patterns))
        )


def as_json(value: Any, *, plain: Callable[[Any], Any] | None = None) -> bytes:
    """`value` as JSON; half a character is escaped, as whoever sent it had it.

    Args:
        plain: What JSON does not have, as something that it has; raises `TypeError` where it cannot.

    Raises:
        MemoryRefused: it holds what JSON does not have, or too many levels.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=plain)
        try:
            return text.encode()
        except UnicodeEncodeError:
            return json.dumps(value, separators=(",", ":"), default=plain).encode()
    except (TypeError, ValueError, RecursionError):
        raise MemoryRefused("data cannot be written as JSON") from None


def matches(pattern: str, key: str) -> bool:
    """Whether `key` is as `pattern` says, where `*` stands for anything; all else stands for itself.

    Without a regular expression: one with many stars can take for ever.
    """
    first, *others = pattern.split("*")
    if not others:
        return key == pattern
    *middle, last = others
    if not key.startswith(first) or len(key) < len(first) + len(last) or not key.endswith(last):
        return False
    at, end = len(first), len(key) - len(last)
    for part in middle:
        found = key.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


class MemoryPort(Protocol):
    """Whoever keeps memory: the plane in this process, or one that is reached over HTTP.

    What was written is durable when a method returns. All of them raise `MemoryRefused` for what cannot be
    meant, `MemoryFull`, and `MemoryAccessError` when memory does not answer.
    """

    async def set(self, where: Where, key: str, data: bytes) -> Entry:
        """Keep `data`, a JSON text, as the value of `key`."""
        ...

    async def get(self, where: Where, key: str) -> Entry | None:
        """The first value of `key` within `where.reach()`."""
        ...

    async def delete(self, where: Where, key: str) -> bool:
        """Forget a value; whether there was one."""
        ...

    async def entries(self, where: Where) -> list[Entry]:
        """All values of one scope, by key."""
        ...

    async def set_vector(
        self, where: Where, key: str, *, embedding: Sequence[float], metadata: Mapping[str, Any]
    ) -> Section:
        """Keep a vector; says where."""
        ...

    async def delete_vector(self, where: Where, key: str) -> bool:
        """Forget a vector; whether there was one."""
        ...

    async def search(
        self, where: Where, embedding: Sequence[float], *, top_k: int, filters: Mapping[str, Any]
    ) -> list[Match]:
        """The vectors of one scope that are most like `embedding`, the most alike first.

        Only those of as many dimensions whose metadata has everything in `filters`.
        """
        ...

    def changes(self, interest: Interest) -> AsyncIterator[Change]:
        """Changes from now on, in the order in which they became durable.

        Raises:
            TooSlow: from the iterator; ask again for those that come.
        """
        ...

    async def history(
        self, interest: Interest, *, since: str | None = None, limit: int = 100
    ) -> list[Change]:
        """The latest changes that are remembered, oldest first. `since` is a time as changes have it."""
        ...
