"""Leases of runs in NATS JetStream: the last message on a run's subject in a stream beside the journal's.

The server stamps each message, and what time it is now is asked of the server too, by a message. Each write
names the message it follows, so one of two who want a lease gets it. Extra: `nats`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import cast

import msgspec
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg, StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError

from agentfield_journal.errors import RunLeased
from agentfield_journal.stores.leasing import HeldLeases

_EXPECTED_PLACE = "Nats-Expected-Last-Subject-Sequence"
_WRONG_PLACE = 10071
_KEPT_S = 24 * 3_600.0  # longer than any lease lasts
_CLOCK = "clock"  # no run's subject: those are hexadecimal


class LeaseMessage(msgspec.Struct, frozen=True, array_like=True):
    """Who holds a run from the message's time on, with which epoch, and for how long (0: it was released)."""

    holder: str
    epoch: int
    lease_s: float


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(LeaseMessage).decode


class NatsLeases:
    """Used on the event loop of the NATS client.

    Args:
        held: What this process holds.
        journal_stream: The stream of the records; the leases are in `<journal_stream>_LEASES`.
    """

    def __init__(self, js: JetStreamContext, held: HeldLeases, journal_stream: str) -> None:
        self._js = js
        self._held = held
        self._stream = f"{journal_stream}_LEASES"
        self._places: dict[str, int] = {}

    async def open(self) -> None:
        """Make the stream if there is none."""
        try:
            await self._js.stream_info(self._stream)
        except NotFoundError:
            # The library leaves this method's other parameters untyped.
            add_stream = cast(Callable[[StreamConfig], Awaitable[StreamInfo]], self._js.add_stream)
            await add_stream(
                StreamConfig(
                    name=self._stream,
                    subjects=[f"{self._stream}.*"],
                    storage=StorageType.FILE,
                    max_msgs_per_subject=1,
                    max_age=_KEPT_S,
                )
            )

    async def take(self, run_id: str, name: str, *, epoch: int) -> None:
        """Lease the run whose subject is `name` for the writer that will have `epoch`.

        Raises:
            RunLeased: its lease is live at another holder.
        """
        while True:
            place, last = 0, await self._last(name)
            if last is not None:
                place = last.seq or 0
                await self._require_free(run_id, last)
            if await self._write(name, self._lease(epoch), place):
                return

    async def _require_free(self, run_id: str, last: RawStreamMsg) -> None:
        lease = _decode(last.data or b"")
        if lease.holder == self._held.terms.holder or lease.lease_s == 0:
            return
        began = _time(last)
        ends_in_s = lease.lease_s - (await self._now() - began).total_seconds()
        if ends_in_s > 0:
            ends_at_ns = int((began.timestamp() + lease.lease_s) * 1e9)
            raise RunLeased(run_id=run_id, holder=lease.holder, ends_at_ns=ends_at_ns, ends_in_s=ends_in_s)

    async def renew(self, names: dict[str, str]) -> None:
        """Renew what is held; drop what another holder has. `names` are the runs' subjects."""
        await asyncio.gather(*(self._renew(run_id, name) for run_id, name in names.items()))

    async def _renew(self, run_id: str, name: str) -> None:
        epoch = self._held.all().get(run_id)
        if epoch is None:
            return
        asked_s = self._held.clock_s()
        renewed = await self._write(name, self._lease(epoch), self._places.get(name, 0))
        if not renewed and (last := await self._last(name)) is not None:
            # An earlier renewal may have arrived without its answer.
            ours = _decode(last.data or b"") == self._lease(epoch)
            renewed = ours and await self._write(name, self._lease(epoch), last.seq or 0)
        if renewed:
            self._held.hold(run_id, epoch, asked_s=asked_s)
        else:
            self._held.drop(run_id, epoch)

    async def release(self, epochs: dict[str, int]) -> None:
        """Let others have the runs of these subjects at once."""
        holder = self._held.terms.holder
        await asyncio.gather(
            *(
                self._write(name, LeaseMessage(holder, epoch, 0), self._places.pop(name, 0))
                for name, epoch in epochs.items()
            )
        )

    def _lease(self, epoch: int) -> LeaseMessage:
        return LeaseMessage(self._held.terms.holder, epoch, self._held.terms.lease_s)

    async def _write(self, name: str, lease: LeaseMessage, after: int) -> bool:
        """Returns whether the lease is written: number `after` was the last message on the subject."""
        headers = {_EXPECTED_PLACE: str(after)}
        try:
            answer = await self._js.publish(
                f"{self._stream}.{name}", _encode(lease), stream=self._stream, headers=headers
            )
        except APIError as error:
            if error.err_code == _WRONG_PLACE:
                return False
            raise
        self._places[name] = answer.seq
        return True

    async def _last(self, name: str) -> RawStreamMsg | None:
        try:
            return await self._js.get_last_msg(self._stream, f"{self._stream}.{name}")
        except NotFoundError:
            return None

    async def _now(self) -> datetime:
        """The server's time."""
        await self._js.publish(f"{self._stream}.{_CLOCK}", b"", stream=self._stream)
        return _time(await self._js.get_last_msg(self._stream, f"{self._stream}.{_CLOCK}"))


def _time(message: RawStreamMsg) -> datetime:
    assert message.time is not None, "the server stamps every message"
    return message.time
