"""Nodes that registered: a run of their own for each registration, open for as long as it stands."""

from enum import StrEnum
from typing import ClassVar

from agentfield_rt.core.records.record import Record


class NodeApproval(StrEnum):
    """What an operator says to a node."""

    NOT_ASKED = "not_asked"
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"


class NodeReach(StrEnum):
    """How the plane reaches a node."""

    HTTP = "http"
    CHANNEL = "channel"


class NodeRegistered(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Begins the run.

    `registration_ref`: what the node said of itself; `approval`: what holds of it now; `reach`: how its work
    gets there.
    """

    kind: ClassVar[str] = "node_registered"
    node_id: str
    instance_id: str
    registration_ref: str
    approval: NodeApproval = NodeApproval.NOT_ASKED
    reach: NodeReach = NodeReach.HTTP


class NodeDecided(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """An operator approved or denied it. `decider_ref` is who that was, where they said so."""

    kind: ClassVar[str] = "node_decided"
    node_id: str
    approval: NodeApproval
    decider_ref: str | None = None
