"""What was delivered where: the fold of a run's deliveries, and what makes two of them the same one.

The ledger is a mutable fold, not a value per record: it holds the proof of every delivery of the run, and
copying that for each record would make reading a run quadratic.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from agentfield_rt.core import records
from agentfield_rt.core.records import Decision, Record
from agentfield_rt.errors import IllegalCommand, Reason, RepairNeeded, ReplayMismatch

KEYS_MAX = 100_000
"""Different deliveries of one run; the last try of each, its proof, is kept while the run is open."""

_KEY_FORMAT = "agentfield-delivery-1"


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    OPEN = "open"
    COMPLETED = "completed"
    FAILED = "failed"
    RECONCILIATION_NEEDED = "reconciliation_needed"
    ABANDONED = "abandoned"


RECONCILED_AS = {
    Decision.DONE: DeliveryState.COMPLETED,
    Decision.NOT_DONE: DeliveryState.FAILED,
    Decision.ABANDONED: DeliveryState.ABANDONED,
}
"""What a delivery becomes when somebody found out about it, or gave up."""

Closer = (
    records.OutputDispatchCompleted
    | records.OutputDispatchFailed
    | records.OutputDispatchReconciliationNeeded
    | records.OutputDispatchReconciled
)


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """The last delivery under a dedupe key."""

    request: records.OutputDispatchRequested
    state: DeliveryState = DeliveryState.OPEN
    reason: Reason | None = None


def dedupe_key(run_id: str, request: records.OutputDispatchRequested) -> str:
    """SHA-256, as hex, over what makes a delivery this one: the run, the destination, the sink, and which
    version of which part of which output. Never over the text.

    Each field is preceded by its length in four bytes, so that no two lists of fields look the same.
    """
    fields = (
        _KEY_FORMAT,
        run_id,
        request.destination_kind,
        request.destination_id,
        request.sink,
        request.delivery.value,
        request.source_id,
        str(request.version),
        str(request.part),
    )
    digest = hashlib.sha256()
    for text in fields:
        data = text.encode()
        digest.update(len(data).to_bytes(4, "big") + data)
    return digest.hexdigest()


@dataclass(slots=True)
class DeliveryLedger:
    """The fold of a run's deliveries."""

    run_id: str
    deduped_total: int = 0
    _by_key: dict[str, Delivery] = field(default_factory=dict[str, Delivery])
    _key_of: dict[str, str] = field(default_factory=dict[str, str])
    _unsettled: dict[str, None] = field(default_factory=dict[str, None])

    @property
    def by_key(self) -> Mapping[str, Delivery]:
        """The last delivery under each key: the index that proves what was delivered."""
        return MappingProxyType(self._by_key)

    @property
    def open(self) -> tuple[Delivery, ...]:
        """Openers without a closer, oldest first."""
        return self._in_state(DeliveryState.OPEN)

    @property
    def unresolved(self) -> tuple[Delivery, ...]:
        """Deliveries of which nobody knows whether they arrived, oldest first."""
        return self._in_state(DeliveryState.RECONCILIATION_NEEDED)

    def find(self, op_id: str) -> Delivery | None:
        """The delivery of this operation, unless a later one under the same key took its place."""
        delivery = self._by_key.get(self._key_of.get(op_id, ""))
        return delivery if delivery is not None and delivery.request.op_id == op_id else None

    def admit(self, key: str) -> Delivery | None:
        """None: it may be delivered. A completed delivery: it was, and is not delivered again.

        Raises:
            RepairNeeded: nobody knows whether it arrived.
            IllegalCommand: it was given up, or the run has no room for more.
        """
        earlier = self._by_key.get(key)
        if earlier is None:
            if len(self._by_key) >= KEYS_MAX:
                raise IllegalCommand(f"run {self.run_id} has {KEYS_MAX} deliveries, which is the limit")
            return None
        op_id = earlier.request.op_id
        match earlier.state:
            case DeliveryState.FAILED:
                return None
            case DeliveryState.COMPLETED:
                return earlier
            case DeliveryState.ABANDONED:
                raise IllegalCommand(f"delivery {op_id} was given up in doubt; deliver a new version instead")
            case DeliveryState.OPEN | DeliveryState.RECONCILIATION_NEEDED:
                raise RepairNeeded(
                    f"nobody knows whether delivery {op_id} arrived; reconcile it first", op_ids=(op_id,)
                )

    def apply(self, record: Record) -> None:
        """Take the run's next record; those of other features change nothing.

        Raises:
            ReplayMismatch: it cannot follow: sent again without proof that it did not arrive, closed twice,
                or under a key that is not its own.
        """
        match record:
            case records.OutputDispatchRequested():
                self._request(record)
            case records.OutputDispatchCompleted():
                self._close(record, DeliveryState.COMPLETED)
            case records.OutputDispatchFailed(reason=reason):
                self._close(record, DeliveryState.FAILED, reason)
            case records.OutputDispatchReconciliationNeeded(reason=reason):
                self._close(record, DeliveryState.RECONCILIATION_NEEDED, reason)
            case records.OutputDispatchReconciled(decision=decision):
                self._close(record, RECONCILED_AS[decision], of=DeliveryState.RECONCILIATION_NEEDED)
            case records.OutputDispatchDeduped():
                self._dedupe(record)
            case _:
                pass

    def _request(self, request: records.OutputDispatchRequested) -> None:
        key, earlier = request.dedupe_key, self._by_key.get(request.dedupe_key)
        if key != dedupe_key(self.run_id, request):
            raise ReplayMismatch(f"delivery {request.op_id} has a key that is not its own")
        if request.op_id in self._key_of:
            raise ReplayMismatch(f"delivery {request.op_id} is opened twice")
        if earlier is not None and earlier.state is not DeliveryState.FAILED:
            raise ReplayMismatch(
                f"{request.op_id} delivers again what {earlier.request.op_id} left {earlier.state}"
            )
        if earlier is not None:
            del self._key_of[earlier.request.op_id]  # however often it is tried, one try is remembered
        self._by_key[key] = Delivery(request)
        self._key_of[request.op_id] = key
        self._unsettled[request.op_id] = None

    def _close(
        self,
        closer: Closer,
        state: DeliveryState,
        reason: Reason | None = None,
        of: DeliveryState = DeliveryState.OPEN,
    ) -> None:
        delivery = self.find(closer.op_id)
        if delivery is None or delivery.state is not of:
            raise ReplayMismatch(f"{closer.kind} closes {closer.op_id}, which is not {of}")
        self._by_key[delivery.request.dedupe_key] = replace(delivery, state=state, reason=reason)
        if state is not DeliveryState.RECONCILIATION_NEEDED:
            del self._unsettled[closer.op_id]

    def _dedupe(self, record: records.OutputDispatchDeduped) -> None:
        delivery = self._by_key.get(record.dedupe_key)
        if (
            delivery is None
            or delivery.state is not DeliveryState.COMPLETED
            or delivery.request.op_id != record.completed_op_id
        ):
            raise ReplayMismatch(f"{record.completed_op_id} is no proof for a repeated delivery")
        self.deduped_total += 1

    def _in_state(self, state: DeliveryState) -> tuple[Delivery, ...]:
        found = (self.find(op_id) for op_id in self._unsettled)
        return tuple(delivery for delivery in found if delivery is not None and delivery.state is state)


def replay(run_id: str, history: Iterable[Record]) -> DeliveryLedger:
    """Fold a run's records, from its first."""
    ledger = DeliveryLedger(run_id)
    for record in history:
        ledger.apply(record)
    return ledger
