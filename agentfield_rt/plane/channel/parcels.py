"""Sinks that are at an agent elsewhere: parcels go there over the channel, and their receipts come back."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from agentfield_rt.channel.delivery import ChannelFull
from agentfield_rt.channel.frame import MessageTooLarge
from agentfield_rt.channel.message import Message
from agentfield_rt.channel.to_agent import CarryParcel
from agentfield_rt.channel.to_plane import ParcelCarried
from agentfield_rt.errors import Reason
from agentfield_rt.sinks import Parcel, SinkError


class Parcels:
    """The parcels that are on their way to one instance.

    Args:
        post: Sends a message there, or raises `ChannelFull`.
    """

    def __init__(self, post: Callable[[Message], object]) -> None:
        self._post = post
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[ParcelCarried]] = {}

    def sink(self, handler_id: str, name: str) -> "RemoteSink":
        """The sink that a handler knows by `name`."""
        return RemoteSink(name, handler_id, self)

    async def carry(self, handler_id: str, sink: str, parcel: Parcel) -> str | None:
        """Have the agent's sink send it; see `Sink.send`."""
        request_id = f"parcel_{next(self._numbers)}"
        try:
            self._post(_carry(handler_id, request_id, sink=sink, parcel=parcel))
        except (ChannelFull, MessageTooLarge) as error:
            raise SinkError(str(error), reason=Reason.OVERFLOW, not_done=True) from error
        carried: asyncio.Future[ParcelCarried] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = carried
        try:
            answer = await carried
        finally:
            del self._waiting[request_id]
        if answer.failure is None:
            return answer.receipt
        raise SinkError(
            answer.failure.message,
            reason=answer.failure.reason or Reason.INTERNAL,
            not_done=answer.failure.not_done,
        )

    def carried(self, message: ParcelCarried) -> None:
        """A sink has answered; nobody may wait any more."""
        waiting = self._waiting.get(message.request_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def lose(self) -> None:
        """The instance is gone: of what it was given nobody knows whether it arrived."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(
                    SinkError("the agent is gone", reason=Reason.PROCESS_LOST, not_done=False)
                )


def _carry(handler_id: str, request_id: str, *, sink: str, parcel: Parcel) -> CarryParcel:
    return CarryParcel(
        handler_id=handler_id,
        request_id=request_id,
        sink=sink,
        op_id=parcel.op_id,
        dedupe_key=parcel.dedupe_key,
        run_id=parcel.run_id,
        destination_kind=parcel.destination.kind,
        destination_id=parcel.destination.id,
        content_type=parcel.content_type,
        body=parcel.body,
    )


@dataclass(frozen=True, slots=True)
class RemoteSink:
    """One of them; satisfies `Sink`."""

    name: str
    handler_id: str
    parcels: Parcels

    async def send(self, parcel: Parcel) -> str | None:
        return await self.parcels.carry(self.handler_id, self.name, parcel)
