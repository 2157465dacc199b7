"""Adapters with one bug each, such as a first version has. The machine must find every one."""

import asyncio
from collections.abc import Callable

from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import InputFrame, Notice, ProviderEvent
from agentfield_rt.ports import Connection, ConnectRequest
from agentfield_rt.testing.memory_provider import MemoryProvider, silent

Make = Callable[[], MemoryProvider]
PLANTED: dict[str, Make] = {}


def planted(wrong: str) -> Callable[[type[MemoryProvider]], type[MemoryProvider]]:
    """Registers an adapter under what it does wrong."""

    def register(adapter: type[MemoryProvider]) -> type[MemoryProvider]:
        PLANTED[wrong] = lambda: adapter(answer=silent)
        return adapter

    return register


@planted("a cancelled receive loses the event it had taken")
class LosesEvents(MemoryProvider):
    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        events = await super().receive(demand=demand)
        await asyncio.sleep(0)
        return events


@planted("a cancelled receive gives its event twice")
class RepeatsEvents(MemoryProvider):
    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        events = await super().receive(demand=demand)
        self._events.extendleft(reversed(events))
        await asyncio.sleep(0)
        if any(not isinstance(event, Notice) for event in events):
            for _ in events:
                self._events.popleft()
        return events


@planted("events come newest first")
class NewestFirst(MemoryProvider):
    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        return tuple(reversed(await super().receive(demand=demand)))


@planted("receive returns more than was asked for")
class TooMany(MemoryProvider):
    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        return await super().receive(demand=demand + 1)


@planted("receive returns nothing when the connection is lost")
class EmptyAtTheEnd(MemoryProvider):
    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        try:
            return await super().receive(demand=demand)
        except ConnectionLost:
            return ()


@planted("a frame is taken and never sent")
class DropsFrames(MemoryProvider):
    async def send(self, frame: InputFrame) -> None:
        self._require_connection()


@planted("a failed send is tried again inside")
class SendsTwice(MemoryProvider):
    async def send(self, frame: InputFrame) -> None:
        await super().send(frame)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            await super().send(frame)
            raise


@planted("a frame that arrived counts as certainly not sent")
class WrongPromise(MemoryProvider):
    async def send(self, frame: InputFrame) -> None:
        await super().send(frame)
        await asyncio.sleep(0)
        if self._loss is not None:
            raise ProviderError("lost", reason=Reason.CONNECTION_LOST, not_done=True)


@planted("frames are sent late, whatever the caller was told")
class SendsInTheBackground(MemoryProvider):
    async def send(self, frame: InputFrame) -> None:
        self._require_connection()
        asyncio.get_running_loop().call_later(0.01, self.got.append, frame)


@planted("a reconnection keeps the old id")
class OldId(MemoryProvider):
    async def restart(self, request: ConnectRequest) -> Connection:
        connection = await super().restart(request)
        self.connections_total -= 1
        return connection


@planted("a lost connection raises an error of the socket library")
class RaisesOSError(MemoryProvider):
    async def send(self, frame: InputFrame) -> None:
        if self._loss is not None or not self._connected:
            raise BrokenPipeError
        await super().send(frame)


@planted("an interrupt cannot be cancelled")
class DeafInterrupt(MemoryProvider):
    async def interrupt(self, response_id: str, *, heard_ms: int | None) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue


@planted("a second close raises")
class ClosesOnce(MemoryProvider):
    async def close(self, reason: CloseReason) -> None:
        if self._loss is not None and not self._loss.retryable:
            raise RuntimeError("closed twice")
        await super().close(reason)
        raise ProviderError("slow", reason=Reason.TIMEOUT, not_done=False)


@planted("close hangs when the connection is gone")
class CloseHangs(MemoryProvider):
    async def close(self, reason: CloseReason) -> None:
        if not self._connected:
            await asyncio.Event().wait()
        await super().close(reason)


@planted("an event is given again after a reconnection")
class RepeatsAfterRestart(MemoryProvider):
    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(answer=silent)
        self._last: ProviderEvent | None = None

    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        events = await super().receive(demand=demand)
        self._last = events[-1]
        return events

    async def restart(self, request: ConnectRequest) -> Connection:
        connection = await super().restart(request)
        if self._last is not None:
            self._events.append(self._last)
        return connection
