"""Deliveries and approvals, invariants 45 and 46: one effect per key, none without the yes that it needs."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from agentfield_journal import Envelope
from agentfield_rt.audit.operations import Operations, Step
from agentfield_rt.audit.payloads import Data
from agentfield_rt.audit.report import Code, Findings, shown

Value = TypeVar("Value")

REMEMBERED_MAX = 100_000
"""Completed deliveries, and grants, that are remembered, newest first to stay."""


@dataclass(frozen=True, slots=True)
class _Grant:
    """What somebody said yes to."""

    session_id: str | None
    subject: str
    target: str
    subject_op_id: str
    stands: bool

    def allows(self, envelope: Envelope, subject: str, target: str) -> bool:
        """Whether the operation of `envelope` may happen."""
        if (self.session_id, self.subject, self.target) != (envelope.session_id, subject, target):
            return False
        return self.stands or self.subject_op_id == envelope.op_id


class FeatureChecks:
    """Follows deliveries, approvals and what needed one through a run."""

    def __init__(self, findings: Findings, operations: Operations) -> None:
        self._findings = findings
        self._operations = operations
        self._delivered: OrderedDict[str, str] = OrderedDict()
        self._grants: OrderedDict[str, _Grant] = OrderedDict()
        self._approved: OrderedDict[str, None] = OrderedDict()
        self._need_approval: dict[str | None, frozenset[str]] = {}
        self._take: dict[str, Callable[[Envelope, Data, Step], None]] = {
            "session_started": self._session_started,
            "approval_granted": self._granted,
            "tool_intent_recorded": self._tool,
            "stream_intervention_applied": self._intervention,
            "output_dispatch_requested": self._dispatch,
            "output_dispatch_completed": self._completed,
            "output_dispatch_reconciled": self._reconciled,
            "output_dispatch_deduped": self._deduped,
        }

    def take(self, envelope: Envelope, data: Data, step: Step) -> None:
        """Follow one record whose operation is sound."""
        follow = self._take.get(envelope.kind)
        if follow is not None:
            follow(envelope, data, step)

    def _session_started(self, envelope: Envelope, data: Data, _: Step) -> None:
        if approvals := data.get("approvals"):
            self._need_approval[envelope.session_id] = frozenset(approvals)

    def _granted(self, envelope: Envelope, data: Data, step: Step) -> None:
        if step.closed is None:
            return
        asked = step.closed.data
        grant = _Grant(
            step.closed.session_id,
            asked["subject"],
            asked["target"],
            asked["subject_op_id"],
            data["scope"] == "session",
        )
        _remember(self._grants, envelope.op_id or "", grant)
        _remember(self._approved, grant.subject_op_id, None)

    def _tool(self, envelope: Envelope, data: Data, _: Step) -> None:
        approval, target = data.get("approval_op_id"), data["target"]
        if approval is None:
            if target in self._need_approval.get(envelope.session_id, ()):
                self._findings.add(Code.NOT_APPROVED, "The tool needs an approval, and none is named.")
            return
        grant = self._grants.get(approval)
        if grant is None or not grant.allows(envelope, "tool", target):
            self._findings.add(Code.NOT_APPROVED, f"{shown(approval)} did not allow this call of the tool.")

    def _intervention(self, envelope: Envelope, data: Data, step: Step) -> None:
        pauses = step.closed is not None and step.closed.data["action"] == "pause_for_approval"
        if pauses and data.get("approved") and (envelope.op_id or "") not in self._approved:
            self._findings.add(Code.NOT_APPROVED, "It went on as approved, and nobody had approved it.")

    def _dispatch(self, envelope: Envelope, data: Data, _: Step) -> None:
        key = data["dedupe_key"]
        if key in self._delivered:
            self._findings.add(Code.DELIVERED_TWICE, "What it delivers had been delivered before.")
            return
        for doubt in self._operations.doubts.values():
            if doubt.opened.data.get("dedupe_key") == key:
                self._findings.add(
                    Code.DELIVERED_TWICE, f"Nobody knew yet whether it had arrived (record {doubt.seq})."
                )
                return

    def _completed(self, envelope: Envelope, data: Data, step: Step) -> None:
        if step.closed is not None:
            self._deliver(step.closed.data["dedupe_key"], envelope)

    def _reconciled(self, envelope: Envelope, data: Data, step: Step) -> None:
        if step.settled is not None and data["decision"] == "done":
            self._deliver(step.settled.opened.data["dedupe_key"], envelope)

    def _deliver(self, key: str, envelope: Envelope) -> None:
        if key in self._delivered:
            self._findings.add(
                Code.DELIVERED_TWICE, "It is the second delivery that completed under its key."
            )
        _remember(self._delivered, key, envelope.op_id or "")

    def _deduped(self, envelope: Envelope, data: Data, _: Step) -> None:
        if self._delivered.get(data["dedupe_key"]) != data["completed_op_id"]:
            self._findings.add(
                Code.DELIVERED_TWICE, "The delivery it relies on did not complete under its key."
            )


def _remember(known: OrderedDict[str, Value], key: str, value: Value) -> None:
    known[key] = value
    if len(known) > REMEMBERED_MAX:
        known.popitem(last=False)
