"""Delivery of output to the outside: to one destination, through one sink, at most once."""

from enum import StrEnum
from typing import ClassVar

from agentfield_rt.core.records.realtime import Decision
from agentfield_rt.core.records.record import Record
from agentfield_rt.errors import Reason


class DeliveryKind(StrEnum):
    """Which output of a source it is."""

    MESSAGE = "message"
    RESULT = "result"
    STREAM = "stream"


class OutputDispatchRequested(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens a delivery. Durable before the sink is called.

    `destination_id` and `sink` are names, not addresses. `dedupe_key` is what makes two deliveries the same
    one (`agentfield_rt.core.deliveries.dedupe_key`), `output_ref` what is delivered.
    """

    kind: ClassVar[str] = "output_dispatch_requested"
    op_id: str
    dedupe_key: str
    destination_kind: str
    destination_id: str
    sink: str
    delivery: DeliveryKind
    source_id: str
    version: int
    output_ref: str
    deadline_s: float
    part: int = 0
    required: bool = False


class OutputDispatchCompleted(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The sink took it; `receipt_ref` is what it answered. From now on this is the proof of the key."""

    kind: ClassVar[str] = "output_dispatch_completed"
    op_id: str
    receipt_ref: str | None = None


class OutputDispatchFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """It certainly did not arrive, so it may be delivered again, as an operation of its own."""

    kind: ClassVar[str] = "output_dispatch_failed"
    op_id: str
    reason: Reason


class OutputDispatchReconciliationNeeded(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Nobody knows whether it arrived. It is not sent again before somebody found out."""

    kind: ClassVar[str] = "output_dispatch_reconciliation_needed"
    op_id: str
    reason: Reason


class OutputDispatchReconciled(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Somebody found out, or gave up: `decision` says which."""

    kind: ClassVar[str] = "output_dispatch_reconciled"
    op_id: str
    decision: Decision


class OutputDispatchDeduped(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The same delivery was asked for again; the sink was not called. Opens nothing and closes nothing."""

    kind: ClassVar[str] = "output_dispatch_deduped"
    dedupe_key: str
    completed_op_id: str
