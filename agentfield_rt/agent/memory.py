"""`app.memory`: what agents remember, in four scopes. Knows a port only: it is the same in every process."""

import asyncio
import contextlib
import inspect
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from agentfield_rt.agent.session import plain
from agentfield_rt.errors import RealtimeError
from agentfield_rt.memory import (
    Change,
    Interest,
    Match,
    MemoryAccessError,
    MemoryPort,
    MemoryRefused,
    Scope,
    TooSlow,
    Where,
    as_json,
)

log = logging.getLogger(__name__)

Listener = TypeVar("Listener", bound=Callable[[Change], Any])

TRY_AGAIN_MAX_S = 30.0


class Array(Protocol):
    """What numpy and its like have; it says its numbers itself."""

    def tolist(self) -> Any: ...


Embedding = Sequence[float] | Array


@dataclass(frozen=True, slots=True, eq=False)
class _Listening:
    """A function that is told of changes."""

    interest: Interest
    function: Callable[[Change], Any]


class MemoryConnection:
    """An agent's way to whoever keeps memory, and the functions that are told of changes meanwhile.

    Args:
        standing: Where the running code stands in the workflow.
    """

    def __init__(self, agent_id: str, standing: Callable[[], Where]) -> None:
        self._agent_id = agent_id
        self._standing = standing
        self._port: MemoryPort | None = None
        self._listening: list[_Listening] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> MemoryPort:
        if self._port is None:
            raise RealtimeError(
                f"agent {self._agent_id} is not running; app.run() or a control plane comes first"
            )
        return self._port

    def where(self) -> Where:
        """Where the running code stands."""
        return replace(self._standing(), agent_id=self._agent_id)

    def listen(self, interest: Interest, function: Callable[[Change], Any]) -> None:
        """Tell `function` of changes, for as long as the agent is connected."""
        listening = _Listening(interest, function)
        self._listening.append(listening)
        if self._port is not None:
            self._start(listening, self._port)

    @contextlib.asynccontextmanager
    async def connected(self, port: MemoryPort) -> AsyncGenerator[None]:
        """Use this port while the block runs; a control plane does this when the agent joins it."""
        self._port = port
        for listening in self._listening:
            self._start(listening, port)
        await asyncio.sleep(0)  # so that, in one process, they miss nothing from here on
        try:
            yield
        finally:
            self._port = None
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    def _start(self, listening: _Listening, port: MemoryPort) -> None:
        task = asyncio.create_task(_listen(listening, port), name=f"memory of {self._agent_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _listen(listening: _Listening, port: MemoryPort) -> None:
    pause_s = 1.0
    while True:
        try:
            async for change in port.changes(listening.interest):
                pause_s = 1.0
                await _tell(listening, change)
        except TooSlow as error:
            log.warning("%s: %s", _name(listening), error)
            continue
        except MemoryAccessError as error:
            log.warning("%s hears of no changes: %s; tried again in %.0f s", _name(listening), error, pause_s)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, TRY_AGAIN_MAX_S)


async def _tell(listening: _Listening, change: Change) -> None:
    try:
        told = listening.function(change)
        if inspect.isawaitable(told):
            await told
    except (Exception, BaseExceptionGroup) as error:  # the next change is told of all the same
        log.error("%s raised %s", _name(listening), type(error).__name__)


def _name(listening: _Listening) -> str:
    return getattr(listening.function, "__qualname__", "a listener of memory")


class ScopedMemory:
    """What agents remember, in one scope.

    Every method raises `MemoryAccessError` when memory does not answer, `MemoryRefused` (one of these) for
    what cannot be stored, and `MemoryFull`. What was written is durable when a method returns.
    """

    def __init__(
        self, connection: MemoryConnection, scope: Scope | None = None, scope_id: str | None = None
    ) -> None:
        self._connection = connection
        self._scope = scope
        self._scope_id = scope_id

    def _where(self) -> Where:
        where = replace(self._connection.where(), scope=self._scope)
        match self._scope, self._scope_id:
            case Scope.WORKFLOW, str(workflow_id):
                return replace(where, workflow_id=workflow_id)
            case Scope.SESSION, str(session_id):
                return replace(where, session_id=session_id)
            case Scope.ACTOR, str(actor_id):
                return replace(where, actor_id=actor_id)
            case _:
                return where

    async def set(self, key: str, data: Any) -> None:
        """Keep `data` under `key`: what JSON has, dataclasses and pydantic models; 256 KiB at most."""
        await self._connection.port.set(self._where(), key, as_json(data, plain=_plain))

    async def get(self, key: str, default: Any = None) -> Any:
        """What is kept under `key`, otherwise `default`."""
        entry = await self._connection.port.get(self._where(), key)
        return default if entry is None else json.loads(entry.data)

    async def exists(self, key: str) -> bool:
        """Whether something is kept under `key`; None, 0 and "" are something."""
        return await self._connection.port.get(self._where(), key) is not None

    async def delete(self, key: str) -> None:
        """Forget what is kept under `key`, if there is something."""
        await self._connection.port.delete(self._where(), key)

    async def list(self) -> dict[str, Any]:
        """Everything that is kept in this scope, by key."""
        return {
            entry.key: json.loads(entry.data) for entry in await self._connection.port.entries(self._where())
        }

    async def list_keys(self) -> Sequence[str]:
        """The keys of this scope, in order."""
        return [entry.key for entry in await self._connection.port.entries(self._where())]

    async def set_vector(
        self, key: str, embedding: Embedding, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Keep an embedding of at most 4,096 dimensions under `key`; of numpy's arrays too."""
        await self._connection.port.set_vector(
            self._where(), key, embedding=_numbers(embedding), metadata=metadata or {}
        )

    async def delete_vector(self, key: str) -> None:
        """Forget a vector, if there is one."""
        await self._connection.port.delete_vector(self._where(), key)

    async def similarity_search(
        self, query_embedding: Embedding, top_k: int = 10, filters: Mapping[str, Any] | None = None
    ) -> Sequence[Match]:
        """The vectors of this scope that are most like one, the most alike first.

        Args:
            top_k: How many at most, up to 1,000.
            filters: What their metadata must have.
        """
        return await self._connection.port.search(
            self._where(), _numbers(query_embedding), top_k=top_k, filters=filters or {}
        )

    def on_change(self, patterns: str | Sequence[str]) -> Callable[[Listener], Listener]:
        """Declare a function that is told of changes to keys like these; `*` stands for anything.

        It is told of one after the other. One that is too slow misses some, and the log says how many.
        """
        wanted = (patterns,) if isinstance(patterns, str) else tuple(patterns)
        interest = Interest(patterns=wanted, scope=self._scope, scope_id=self._scope_id)

        def declare(function: Listener) -> Listener:
            self._connection.listen(interest, function)
            return function

        return declare

    async def history(
        self, patterns: str | Sequence[str] = (), *, since: str | None = None, limit: int = 100
    ) -> Sequence[Change]:
        """The latest changes of this scope, oldest first, as far as the server remembers: 1,000 of all."""
        wanted = (patterns,) if isinstance(patterns, str) else tuple(patterns)
        interest = Interest(patterns=wanted, scope=self._scope, scope_id=self._scope_id)
        return await self._connection.port.history(interest, since=since, limit=limit)


class Memory(ScopedMemory):
    """What agents remember: `app.memory`.

    By itself it writes to the narrowest scope there is where the code runs, and looks for a key in workflow,
    session, actor and global, in this order. `session(…)` and its like name one.
    """

    def __init__(self, connection: MemoryConnection) -> None:
        super().__init__(connection)
        self.connection = connection

    def workflow(self, workflow_id: str | None = None) -> ScopedMemory:
        """One workflow's; None for the one that the code runs in."""
        return ScopedMemory(self.connection, Scope.WORKFLOW, workflow_id)

    def session(self, session_id: str | None = None) -> ScopedMemory:
        """One session's; None for the one that the code runs in."""
        return ScopedMemory(self.connection, Scope.SESSION, session_id)

    def actor(self, actor_id: str | None = None) -> ScopedMemory:
        """One actor's, whatever session it is in; None for the one for whom the code runs."""
        return ScopedMemory(self.connection, Scope.ACTOR, actor_id)

    @property
    def global_scope(self) -> ScopedMemory:
        """Everybody's."""
        return ScopedMemory(self.connection, Scope.GLOBAL)

    def _in(self, scope: str | None, scope_id: str | None) -> ScopedMemory:
        return ScopedMemory(self.connection, None if scope is None else Scope(scope), scope_id)

    async def set(
        self, key: str, data: Any, *, scope: str | None = None, scope_id: str | None = None
    ) -> None:
        """As `ScopedMemory.set`, in the scope named."""
        await self._in(scope, scope_id).set(key, data)

    async def get(
        self, key: str, default: Any = None, *, scope: str | None = None, scope_id: str | None = None
    ) -> Any:
        """As `ScopedMemory.get`, in the scope named."""
        return await self._in(scope, scope_id).get(key, default)

    async def delete(self, key: str, *, scope: str | None = None, scope_id: str | None = None) -> None:
        """As `ScopedMemory.delete`, in the scope named."""
        await self._in(scope, scope_id).delete(key)

    async def similarity_search(
        self,
        query_embedding: Embedding,
        top_k: int = 10,
        filters: Mapping[str, Any] | None = None,
        *,
        scope: str | None = None,
        scope_id: str | None = None,
    ) -> Sequence[Match]:
        """As `ScopedMemory.similarity_search`, in the scope named."""
        return await self._in(scope, scope_id).similarity_search(query_embedding, top_k, filters)


def _plain(value: Any) -> Any:
    """What is no JSON, as JSON would carry it."""
    known = plain(value)
    if known is value:
        raise TypeError(f"{type(value).__name__} has no JSON form")
    return known


def _numbers(embedding: Embedding) -> Sequence[float]:
    """An embedding as numbers; numpy's arrays and tensors give theirs themselves."""
    given: Any = embedding if isinstance(embedding, Sequence) else embedding.tolist()
    try:
        return [float(number) for number in given]
    except (TypeError, ValueError):
        raise MemoryRefused("an embedding is a list of numbers") from None
