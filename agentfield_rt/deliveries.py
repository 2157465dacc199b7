"""Delivers output to the outside: the intent durable before the sink is called, one outcome, never twice.

What may have arrived is not sent again before somebody found out (`reconcile`). Knows no wire: a sink does.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from msgspec.structs import replace

from agentfield_journal import ContentStore, JournalError
from agentfield_journal.envelope import Retention
from agentfield_rt.core import records
from agentfield_rt.core.deliveries import (
    RECONCILED_AS,
    Closer,
    Delivery,
    DeliveryLedger,
    DeliveryState,
    dedupe_key,
    replay,
)
from agentfield_rt.core.outcomes import lost
from agentfield_rt.core.records import Decision, DeliveryKind, Record
from agentfield_rt.errors import IllegalCommand, Reason, SessionClosed
from agentfield_rt.idle import Few
from agentfield_rt.run import Context, Run
from agentfield_rt.sinks import CallableSink, Destination, Output, Parcel, Sink, SinkError, check_name

__all__ = [
    "CallableSink",
    "Decision",
    "Deliveries",
    "DeliveryKind",
    "DeliveryOutcome",
    "DeliveryStatus",
    "Destination",
    "Output",
    "Parcel",
    "Sink",
    "SinkError",
]

log = logging.getLogger(__name__)

DEADLINE_S = 30.0
UNDER_WAY_MAX = 256
RECEIPT_BYTES_MAX = 4_096
STOP_MAX_S = 1.0
"""A sink that does not stop when it is cancelled is left behind."""

_NO_SINK = "none"


class DeliveryStatus(StrEnum):
    """How a call of `deliver` ended."""

    COMPLETED = "completed"
    DEDUPED = "deduped"
    FAILED = "failed"
    RECONCILIATION_NEEDED = "reconciliation_needed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """What became of it.

    Attributes:
        op_id: The delivery; of a duplicate, the one that was completed. None when it was skipped.
        reason: Why it failed or is in doubt.
    """

    status: DeliveryStatus
    op_id: str | None = None
    reason: Reason | None = None


@dataclass(slots=True, eq=False)
class _Turn:
    """Deliveries under one key go one after the other."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Deliveries:
    """The deliveries of one run, or of one session of it: it knows what itself and its history delivered.

    Args:
        run: Where they are written.
        content: Keeps what was delivered.
        session_id: The session they belong to.
        history: The run's or session's records so far, when it goes on after a crash; see `recover`.
        subject: Whom what is delivered is about, and with whom it is erased; the session, otherwise the run.
    """

    def __init__(
        self,
        run: Run,
        content: ContentStore,
        *,
        session_id: str | None = None,
        history: Iterable[Record] = (),
        subject: str | None = None,
    ) -> None:
        self._run = run
        self._content = content
        self._context = Context(session_id=session_id)
        self._subject = subject or session_id or run.run_id
        self._ledger = replay(run.run_id, history)
        self._turns: dict[str, _Turn] = {}
        self._under_way = 0
        self._calls: dict[str, asyncio.Task[object]] = {}
        self._own = Few[str]()
        self._owed: list[Closer] = []
        self._is_closed = False

    @property
    def ledger(self) -> DeliveryLedger:
        """All of them, as the journal tells. To be read only."""
        return self._ledger

    async def deliver(
        self,
        output: Output,
        destination: Destination,
        sink: Sink | None,
        *,
        required: bool = False,
        deadline_s: float = DEADLINE_S,
    ) -> DeliveryOutcome:
        """Hand `output` to `sink`, unless that was done before. The outcome is durable when this returns.

        Args:
            sink: None where none is configured: then a required delivery fails and another is skipped.
            required: The run is not complete without it.
            deadline_s: After so long nobody knows whether it arrived.

        Raises:
            RepairNeeded: an earlier try may have arrived; reconcile it first.
            SessionClosed: this is closed, now or by the time its turn came.
            IllegalCommand: it was given up in doubt, or too much is under way.
            JournalError: intent or outcome could not be written; without an intent the sink is not called.
        """
        if sink is None and not required:
            return DeliveryOutcome(DeliveryStatus.SKIPPED)
        request = self._request(output, destination, sink, required=required, deadline_s=deadline_s)
        async with self._turn(request.dedupe_key):
            if self._is_closed:
                raise SessionClosed(f"nothing more is delivered for {self._subject}")
            self._commit()
            earlier = self._ledger.admit(request.dedupe_key)
            if earlier is not None:
                return await self._dedupe(earlier)
            request = replace(request, output_ref=self._keep(output.body))
            if sink is None:
                missing = records.OutputDispatchFailed(op_id=request.op_id, reason=Reason.NOT_FOUND)
                self._commit(request, missing)
            else:
                parcel = Parcel(
                    op_id=request.op_id,
                    dedupe_key=request.dedupe_key,
                    run_id=self._run.run_id,
                    destination=destination,
                    content_type=output.content_type,
                    body=output.body,
                )
                await self._dispatch(request, parcel, sink)
            outcome = _outcome(request.op_id, self._ledger.find(request.op_id))
            await self._run.durable()
            return outcome

    async def reconcile(self, op_id: str, decision: Decision) -> None:
        """Say what became of a delivery in doubt: done, not done (it may be tried again), or given up.

        The same decision again changes nothing.

        Raises:
            IllegalCommand: it is not in doubt, was decided otherwise, or its sink has not returned yet.
        """
        self._commit()
        delivery = self._ledger.find(op_id)
        if delivery is None:
            raise IllegalCommand(
                f"run {self._run.run_id} has no delivery {op_id}, or a later one replaced it"
            )
        if delivery.state is not DeliveryState.RECONCILIATION_NEEDED:
            if delivery.state is not RECONCILED_AS[decision]:
                raise IllegalCommand(f"delivery {op_id} is {delivery.state}, not in doubt")
        elif op_id in self._calls:
            raise IllegalCommand(f"the sink of delivery {op_id} has not returned yet; it may still arrive")
        else:
            self._commit(records.OutputDispatchReconciled(op_id=op_id, decision=decision))
        await self._run.durable()

    async def recover(self) -> tuple[Delivery, ...]:
        """Write down that what a process that died left open is in doubt, and return all that is.

        `open_session` has written the same already for what it found open; here it is returned.
        Nothing is sent: `reconcile` each of them, then deliver again what did not arrive.
        """
        for delivery in self._ledger.open:
            op_id = delivery.request.op_id
            if op_id not in self._own:
                self._commit(lost(type(delivery.request), op_id))
        await self._run.durable()
        return self._ledger.unresolved

    async def close(self) -> None:
        """Cancel what is under way; whoever waits for it learns that it is in doubt. Nothing new is begun."""
        self._is_closed = True
        calls = list(self._calls.values())
        for call in calls:
            call.cancel()
        if calls:
            await asyncio.wait(calls, timeout=STOP_MAX_S)
            await asyncio.sleep(0)  # whoever waits for a call writes down its outcome
        for op_id in sorted(self._own):  # its sink does not stop, or was not called yet and never will be
            called = op_id in self._calls
            self._settle(_in_doubt(op_id, Reason.CANCELLED) if called else _not_called(op_id))
        with contextlib.suppress(JournalError):
            self._commit()

    # Steps.

    @contextlib.asynccontextmanager
    async def _turn(self, key: str) -> AsyncGenerator[None]:
        if self._under_way >= UNDER_WAY_MAX:
            raise IllegalCommand(
                f"{UNDER_WAY_MAX} deliveries of run {self._run.run_id} are under way already"
            )
        turn = self._turns.setdefault(key, _Turn())
        turn.users += 1
        self._under_way += 1
        try:
            async with turn.lock:
                yield
        finally:
            self._under_way -= 1
            turn.users -= 1
            if not turn.users:
                del self._turns[key]

    async def _dedupe(self, earlier: Delivery) -> DeliveryOutcome:
        op_id = earlier.request.op_id
        self._commit(
            records.OutputDispatchDeduped(dedupe_key=earlier.request.dedupe_key, completed_op_id=op_id)
        )
        await self._run.durable()
        return DeliveryOutcome(DeliveryStatus.DEDUPED, op_id)

    async def _dispatch(self, request: records.OutputDispatchRequested, parcel: Parcel, sink: Sink) -> None:
        """Call the sink between the durable intent and the outcome, whatever happens."""
        op_id = request.op_id
        self._commit(request)
        self._own.add(op_id)
        closer: Closer = _not_called(op_id)
        call = None
        try:
            await self._run.durable()
            if op_id not in self._own:
                return
            call = self._call(parcel, sink)
            closer = _in_doubt(op_id, Reason.CANCELLED)
            await asyncio.wait([call], timeout=request.deadline_s)
            closer = _in_doubt(op_id, Reason.TIMEOUT)
        except JournalError:
            closer = records.OutputDispatchFailed(op_id=op_id, reason=Reason.UNAVAILABLE)
            raise
        finally:
            if call is not None:
                closer = self._closer(op_id, call) if call.done() else closer
                call.cancel()
            self._settle(closer)
            with contextlib.suppress(JournalError):  # it is owed until it can be written
                self._commit()
        self._commit()

    def _settle(self, closer: Closer) -> None:
        """Owe its outcome to the journal; the first one is the one."""
        if closer.op_id in self._own:
            self._own.discard(closer.op_id)
            self._owed.append(closer)

    def _call(self, parcel: Parcel, sink: Sink) -> asyncio.Task[object]:
        call = asyncio.create_task(_send(sink, parcel), name=parcel.op_id)
        self._calls[parcel.op_id] = call
        call.add_done_callback(lambda _: self._calls.pop(parcel.op_id))
        return call

    def _closer(self, op_id: str, call: asyncio.Task[object]) -> Closer:
        """What the sink's answer comes to. What says nothing about whether it arrived leaves it in doubt."""
        match Reason.CANCELLED if call.cancelled() else call.result():
            case SinkError(not_done=True, reason=reason):
                return records.OutputDispatchFailed(op_id=op_id, reason=reason)
            case SinkError(reason=reason) | (Reason() as reason):
                return _in_doubt(op_id, reason)
            case BaseException() as error:
                log.error("a sink raised %s", type(error).__name__)
                return _in_doubt(op_id, Reason.HANDLER_ERROR)
            case str() as receipt:
                return records.OutputDispatchCompleted(op_id=op_id, receipt_ref=self._keep_receipt(receipt))
            case _:
                return records.OutputDispatchCompleted(op_id=op_id)

    def _commit(self, *written: Record) -> None:
        """Append what is owed and what is new as one batch; never awaits."""
        batch = [*self._owed, *written]
        if not batch:
            return
        self._run.append(batch, self._context)
        self._owed.clear()
        for record in batch:
            self._ledger.apply(record)

    # What is written.

    def _request(
        self,
        output: Output,
        destination: Destination,
        sink: Sink | None,
        *,
        required: bool,
        deadline_s: float,
    ) -> records.OutputDispatchRequested:
        """The intent, its content not kept yet."""
        name = _NO_SINK if sink is None else sink.name
        check_name("a sink's name", name)
        request = records.OutputDispatchRequested(
            op_id=f"dlv_{secrets.token_hex(16)}",
            dedupe_key="",
            destination_kind=destination.kind,
            destination_id=destination.id,
            sink=name,
            delivery=output.delivery,
            source_id=output.source_id,
            version=output.version,
            output_ref="",
            deadline_s=deadline_s,
            part=output.part,
            required=required,
        )
        return replace(request, dedupe_key=dedupe_key(self._run.run_id, request))

    def _keep(self, data: bytes) -> str:
        return self._content.put(data, subject=self._subject, retention=Retention.SESSION)

    def _keep_receipt(self, receipt: str) -> str | None:
        """A receipt that cannot be kept takes nothing away from the delivery."""
        with contextlib.suppress(Exception):
            return self._keep(receipt.encode(errors="replace")[:RECEIPT_BYTES_MAX])
        return None


async def _send(sink: Sink, parcel: Parcel) -> object:
    """The sink's answer, or what it raised: an exit asked for in a library ends no server."""
    try:
        return await sink.send(parcel)
    except (Exception, BaseExceptionGroup, SystemExit) as error:
        return error


def _in_doubt(op_id: str, reason: Reason) -> records.OutputDispatchReconciliationNeeded:
    return records.OutputDispatchReconciliationNeeded(op_id=op_id, reason=reason)


def _not_called(op_id: str) -> records.OutputDispatchFailed:
    return records.OutputDispatchFailed(op_id=op_id, reason=Reason.CANCELLED)


def _outcome(op_id: str, delivery: Delivery | None) -> DeliveryOutcome:
    assert delivery is not None, "a delivery of this turn is the last under its key"
    return DeliveryOutcome(_STATUS[delivery.state], op_id, delivery.reason)


_STATUS = {
    DeliveryState.COMPLETED: DeliveryStatus.COMPLETED,
    DeliveryState.FAILED: DeliveryStatus.FAILED,
    DeliveryState.RECONCILIATION_NEEDED: DeliveryStatus.RECONCILIATION_NEEDED,
}
