"""An adapter around an adapter: every answer held, failed, lost, doubted, late, twice or out of order.

It also listens in both directions: what the port forbids the caller, and what it forbids the adapter inside,
becomes a complaint.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Final, TypeVar

from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError
from agentfield_rt.frames import InputFrame, ProviderEvent
from agentfield_rt.ports import Connection, ConnectRequest, ProviderAdapter
from agentfield_rt.testing.held_calls import AT_ONCE, Acts, Call, Effects, Ending, Hold, Method, Verdict
from agentfield_rt.testing.memory_provider import MemoryProvider

T = TypeVar("T")

_NEVER_OVERLAPPING: Final = frozenset[Method]({"connect", "send", "receive", "restart"})


def _ignore(call: Call) -> None:
    """Nobody wants to know."""


class HeldAdapter:
    """A `ProviderAdapter` in front of another one. Calls that nobody holds go straight through.

    Args:
        inner: The adapter that acts; a `MemoryProvider` that echoes when there is none.
        effects: What happened at the provider; give two adapters the same one when they stand for two owners.
        on_call: Told of every call before anything else happens.

    Attributes:
        calls: Every call so far, in order of arrival.
        complaints: What caller and adapter did against the port's contract (`agentfield_rt.ports`).

    Example:
        >>> adapter = HeldAdapter()
        >>> answer = adapter.hold("send")     # the next send waits …
        >>> answer.doubt()                    # … and then nobody knows whether it arrived
    """

    def __init__(
        self,
        inner: ProviderAdapter | None = None,
        *,
        effects: Effects | None = None,
        on_call: Callable[[Call], None] = _ignore,
    ) -> None:
        self.inner: ProviderAdapter = inner or MemoryProvider()
        self._on_call = on_call
        self.effects = effects or Effects()
        self.calls: list[Call] = []
        self.complaints: list[str] = []
        self._holds: dict[Method, deque[Hold]] = {}
        self._running: list[Call] = []
        self._inside: dict[Call, asyncio.Timeout] = {}
        self._events: deque[ProviderEvent] = deque()
        self._connection_ids: set[str] = set()
        self._loss: ConnectionLost | None = None
        self._closed = False

    def hold(self, method: Method, *, acted: bool = False) -> Hold:
        """Hold the next call of `method` that no earlier hold waits for.

        Args:
            acted: Let the provider act at once and hold only its answer.
        """
        held = Hold(method, acted=acted)
        self._holds.setdefault(method, deque()).append(held)
        return held

    def forget_holds(self) -> None:
        """Calls to come go straight through again; those that wait at a hold still do."""
        self._holds.clear()

    def drop(self, loss: ConnectionLost | None = None) -> None:
        """Lose the connection: calls under way and later ones raise `loss`, until a restart."""
        self._loss = loss or ConnectionLost("dropped by the test")
        now = asyncio.get_running_loop().time()
        for deadline in self._inside.values():
            if not deadline.expired():
                deadline.reschedule(now)

    @property
    def running(self) -> list[Call]:
        """The calls under way."""
        return list(self._running)

    async def connect(self, request: ConnectRequest) -> Connection:
        return await self._perform(Call("connect"), lambda: self._connecting(self.inner.connect(request)))

    async def send(self, frame: InputFrame) -> None:
        await self._perform(Call("send", frame.frame_id), lambda: self.inner.send(frame))

    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        with self._called(Call("receive")) as call:
            verdict = await self._verdict(call)
            if self._events:
                return self._take(demand)
            if not verdict.answers or verdict.error is not None:
                await self._end(verdict)
            events = await self._inwards(call, lambda: self.inner.receive(demand=demand))
            if not 1 <= len(events) <= demand:
                self.complaints.append(f"receive of {demand} returned {len(events)} events")
            if verdict is AT_ONCE:
                return events
            disturbed = [event for event in events for _ in range(verdict.copies)]
            self._events += reversed(disturbed) if verdict.reversed else disturbed
            return self._take(demand)

    async def interrupt(self, response_id: str, *, heard_ms: int | None) -> None:
        await self._perform(
            Call("interrupt", response_id), lambda: self.inner.interrupt(response_id, heard_ms=heard_ms)
        )

    async def restart(self, request: ConnectRequest) -> Connection:
        return await self._perform(Call("restart"), lambda: self._connecting(self.inner.restart(request)))

    async def close(self, reason: CloseReason) -> None:
        await self._perform(Call("close"), lambda: self._closing(reason))

    async def _perform(self, call: Call, act: Callable[[], Awaitable[T]]) -> T:
        with self._called(call):
            hold = self._next_hold(call.method)
            if hold is None:
                return await self._inwards(call, act)
            if hold.acted:
                result = await self._inwards(call, act)
                await self._end(await hold.verdict_on(call))
                return result
            verdict = await hold.verdict_on(call)
            await self._late(verdict)
            if not verdict.acts:
                await self._end(verdict)
            result = await self._inwards(call, act)
            await self._end(verdict)
            return result

    async def _verdict(self, call: Call) -> Verdict:
        hold = self._next_hold(call.method)
        if hold is None:
            return AT_ONCE
        verdict = await hold.verdict_on(call)
        await self._late(verdict)
        return verdict

    async def _late(self, verdict: Verdict) -> None:
        if verdict.after_s:
            await asyncio.sleep(verdict.after_s)

    async def _end(self, verdict: Verdict) -> None:
        """Keep the answer back, if that is the verdict."""
        if not verdict.answers:
            await asyncio.Event().wait()
        if verdict.error is not None:
            if isinstance(verdict.error, ConnectionLost):
                self.drop(verdict.error)
            raise verdict.error

    async def _inwards(self, call: Call, act: Callable[[], Awaitable[T]]) -> T:
        """Let the adapter inside act, and note what is known about it."""
        if self._loss is not None and call.method not in ("restart", "close"):
            raise _again(self._loss)
        call.acts = Acts.PERHAPS
        self.effects.calls.append(call)
        deadline = asyncio.timeout(None)
        try:
            async with deadline:
                self._inside[call] = deadline
                result = await act()
        except TimeoutError:
            if self._loss is None:
                self.complaints.append(
                    f"{call.method} raised TimeoutError; the port knows ProviderError only"
                )
                raise
            raise _again(self._loss) from None
        except ProviderError as error:
            call.acts = Acts.NO if error.not_done else Acts.PERHAPS
            raise
        except Exception as error:
            self.complaints.append(
                f"{call.method} raised {type(error).__name__}; the port knows ProviderError only"
            )
            raise
        finally:
            self._inside.pop(call, None)
        call.acts = Acts.YES
        if self._closed and call.method not in ("close", "receive"):
            self.complaints.append(f"{call.method} succeeded after close")
        return result

    async def _connecting(self, connecting: Awaitable[Connection]) -> Connection:
        connection = await connecting
        if connection.connection_id in self._connection_ids:
            self.complaints.append(f"connection id {connection.connection_id} was used before")
        self._connection_ids.add(connection.connection_id)
        self._loss = None
        return connection

    async def _closing(self, reason: CloseReason) -> None:
        await self.inner.close(reason)
        self._closed = True

    def _take(self, demand: int) -> tuple[ProviderEvent, ...]:
        return tuple(self._events.popleft() for _ in range(min(demand, len(self._events))))

    def _next_hold(self, method: Method) -> Hold | None:
        holds = self._holds.get(method)
        return holds.popleft() if holds else None

    @contextmanager
    def _called(self, call: Call) -> Generator[Call]:
        """Note a call and how it ends, and hold the caller to the port's rules."""
        others = {running.method for running in self._running}
        if call.method in others & _NEVER_OVERLAPPING:
            self.complaints.append(f"{call.method} was called while another one was under way")
        self._on_call(call)
        self.calls.append(call)
        self._running.append(call)
        try:
            yield call
        except asyncio.CancelledError:
            call.ending = Ending.CANCELLED
            raise
        except Exception:
            call.ending = Ending.FAILED
            raise
        else:
            call.ending = Ending.DONE
        finally:
            self._running.remove(call)


def _again(loss: ConnectionLost) -> ConnectionLost:
    """A fresh exception for each caller, so that they do not share one traceback."""
    return ConnectionLost(str(loss), reason=loss.reason, retryable=loss.retryable)
