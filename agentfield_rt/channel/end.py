"""One end of a channel: takes and gives messages over one wire after another. Knows no message by name."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from agentfield_rt.channel.delivery import Inbox, Outbox, ProtocolBroken
from agentfield_rt.channel.frame import Frame, FrameDecoder, encode_frame, encode_message
from agentfield_rt.channel.message import Message
from agentfield_rt.channel.wire import Wire, WireLost, WireSilent

M = TypeVar("M")

ACKNOWLEDGE_WITHIN_S = 0.02
"""What was received is told with the next message, or after so long by itself."""

ACKNOWLEDGE_EVERY = 64
"""Messages that are received without telling."""


class ChannelEnd(Generic[M]):
    """The messages between here and the other end, in order and once each, however often the wire breaks.

    Args:
        decode: Of the frames that are received.
        take: Is given each message once. It must not block; what it raises closes the wire.
        room: Returns when another message may come; meanwhile the wire is not read.

    Attributes:
        is_stuck: The wire broke twice at the same message: the next one would, too.
    """

    def __init__(
        self,
        decode: FrameDecoder[M],
        take: Callable[[M], None],
        *,
        room: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.is_stuck = False
        self._decode = decode
        self._take = take
        self._room = room
        self._broken_at: int | None = None
        self._outbox = Outbox()
        self._inbox = Inbox()
        self._wake = asyncio.Event()
        self._sent = 0
        self._told = 0
        self._ack_timer: asyncio.TimerHandle | None = None
        self._is_ack_due = False
        self._receipts: list[tuple[int, asyncio.Future[None]]] = []
        self._sending: asyncio.Task[None] | None = None

    @property
    def received(self) -> int:
        """The last seq of the other end's that is here."""
        return self._inbox.received

    def post(self, message: Message) -> int:
        """Send a message, now or on the next wire; its seq.

        Raises:
            ChannelFull: the other end has received nothing for too long.
            MessageTooLarge, TypeError, ValueError: it cannot be written down.
        """
        seq = self._outbox.post(encode_message(message))
        self._wake.set()
        return seq

    async def receipt(self, seq: int) -> None:
        """Return once the other end has received what was posted as `seq`."""
        if seq <= self._outbox.received:
            return
        receipt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = seq, receipt
        self._receipts.append(waiting)
        try:
            await receipt
        finally:
            if waiting in self._receipts:
                self._receipts.remove(waiting)

    async def flushed(self) -> None:
        """Return once the other end has received everything that was posted until now."""
        await self.receipt(self._outbox.posted)

    def can_resume(self, received: int) -> bool:
        """Whether an other end that has `received` so much can go on: what comes behind it is still here."""
        return self._outbox.received <= received <= self._outbox.posted

    def was_sent(self, seq: int) -> bool:
        """Whether a message was ever written to a wire: the other end may have it."""
        return seq <= self._sent

    def break_off(self) -> None:
        """End `run`, if it is under way, as if the wire were lost."""
        if self._sending is not None:
            self._sending.cancel()

    async def run(self, wire: Wire, *, received: int, keep_alive_s: float, lease_s: float) -> None:
        """Carry messages over `wire` until it breaks; what the other end has not `received` first.

        Raises:
            WireLost: it broke.
            WireSilent: nothing came over it for `lease_s`.
            ProtocolBroken: the other end does not keep to the protocol.
        """
        self._acknowledged(received)
        self._told = self._inbox.received
        receiving = asyncio.create_task(self._receive(wire, lease_s), name="channel receives")
        self._sending = sending = asyncio.create_task(
            self._send(wire, received, keep_alive_s), name="channel sends"
        )
        try:
            await asyncio.wait((receiving, sending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (receiving, sending):
                task.cancel()
            ended = await asyncio.gather(receiving, sending, return_exceptions=True)
            self._stop_ack_timer()
        errors = [error for error in ended if isinstance(error, Exception)]
        if not errors:
            raise WireLost("it was broken off here")
        for error in errors:
            if isinstance(error, ProtocolBroken):
                self.is_stuck = self._broken_at == self._inbox.received
                self._broken_at = self._inbox.received
                raise error
        raise errors[0]

    async def _receive(self, wire: Wire, lease_s: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self._room is not None:
                await self._room()
            try:
                async with asyncio.timeout_at(loop.time() + lease_s):
                    received = await wire.receive()
            except TimeoutError:
                raise WireSilent(f"nothing came for {lease_s:g} s") from None
            self._take_frame(self._decode(received))

    def _take_frame(self, frame: Frame[M]) -> None:
        self._acknowledged(frame.ack)
        if frame.message is None:
            return
        if self._inbox.take(frame.seq):
            self._take(frame.message)
        self._owe_acknowledgement()

    def _acknowledged(self, seq: int) -> None:
        self._outbox.acknowledge(seq)
        while self._receipts and self._receipts[0][0] <= seq:
            receipt = self._receipts.pop(0)[1]
            if not receipt.done():
                receipt.set_result(None)

    def _owe_acknowledgement(self) -> None:
        if self._inbox.received - self._told >= ACKNOWLEDGE_EVERY:
            self._acknowledge()
        elif self._ack_timer is None:
            loop = asyncio.get_running_loop()
            self._ack_timer = loop.call_later(ACKNOWLEDGE_WITHIN_S, self._acknowledge)

    def _acknowledge(self) -> None:
        self._stop_ack_timer()
        self._is_ack_due = True
        self._wake.set()

    def _stop_ack_timer(self) -> None:
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None

    async def _send(self, wire: Wire, received: int, keep_alive_s: float) -> None:
        sent = received
        while True:
            self._wake.clear()
            for seq, message in self._outbox.after(sent):
                sent = seq
                self._sent = max(self._sent, seq)
                await self._write(wire, message, seq)
            if self._is_ack_due:
                await self._write(wire, None)
            if self._wake.is_set():
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(keep_alive_s):
                    await self._wake.wait()
                    continue
            await self._write(wire, None)

    async def _write(self, wire: Wire, message: bytes | None, seq: int = 0) -> None:
        self._stop_ack_timer()
        self._is_ack_due = False
        self._told = self._inbox.received
        await wire.send(encode_frame(message, seq=seq, ack=self._told))
