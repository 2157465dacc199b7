"""Node routes: agents register and say that they are there, operators list, approve and remove them."""

import time
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from agentfield_rt.agent import SessionDefinition
from agentfield_rt.core.records import NodeApproval
from agentfield_rt.plane.approvals import check_approver
from agentfield_rt.plane.control_plane import ControlPlane
from agentfield_rt.plane.executions.dispatch import CapabilityKind
from agentfield_rt.plane.http.dependencies import ID_CHARS_MAX, Plane
from agentfield_rt.plane.http.hot_routes import Answer, Asked, HotRoute
from agentfield_rt.plane.http.openapi import ErrorBody, Operation
from agentfield_rt.plane.nodes import Capability, Lifecycle, Node
from agentfield_rt.plane.nodes.health import LEASE_S, HealthStatus, health_of, nodes_by_health
from agentfield_rt.plane.nodes.registration import Registration
from agentfield_rt.plane.notation import iso

RENEWED_LEASE_S = 300.0
"""What AgentField grants whoever asks for a lease rather than sending heartbeats."""

router = APIRouter(prefix="/api/v1", tags=["nodes"])
Approver = Depends(check_approver)


class HeartbeatBody(msgspec.Struct, kw_only=True):
    """How an agent is, by its own word."""

    status: Annotated[str, msgspec.Meta(max_length=ID_CHARS_MAX)] = "ready"
    instance_id: Annotated[str, msgspec.Meta(max_length=ID_CHARS_MAX)] = ""


_HEARTBEAT = msgspec.json.Decoder(HeartbeatBody)


class Heard(msgspec.Struct, kw_only=True):
    """It was taken."""

    message: str
    timestamp: str
    success: bool = True


class LeaseBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    phase: Literal["starting", "ready", "degraded", "offline"] = "ready"


class NodeDecisionBody(BaseModel):
    """`decided_by` is how the host knows the person; it is kept as content."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["approved", "denied"]  # words: a refusal would name members of an enum by their repr
    decided_by: str | None = Field(default=None, min_length=1, max_length=ID_CHARS_MAX)


@router.post("/nodes/register", status_code=201)
async def register(body: Registration, response: Response, plane: Plane) -> dict[str, Any]:
    """Let an agent in; its registration is durable when this answers. 200 for one that was known before."""
    node, is_new = await plane.remote_nodes.register(body)
    response.status_code = 201 if is_new else 200
    answer: dict[str, Any] = {
        "success": True,
        "message": "Node registered successfully" if is_new else "Node registered again",
        "node_id": node.node_id,
        "resolved_base_url": body.base_url,  # the SDK takes this for its own address
    }
    if node.lifecycle is Lifecycle.PENDING_APPROVAL:
        tags = sorted(body.every_tag())
        answer |= {"status": Lifecycle.PENDING_APPROVAL, "proposed_tags": tags, "pending_tags": tags}
        answer |= {"auto_approved_tags": [], "message": "Node registered; an operator has to approve it"}
    return answer


@router.get("/nodes")
async def list_nodes(plane: Plane, health_status: HealthStatus | None = None) -> dict[str, Any]:
    """Every node that is known here, or those of one health."""
    nodes = [node_view(plane, node) for node in nodes_by_health(plane.nodes, health_status)]
    return {"nodes": nodes, "count": len(nodes), "denied": _denied(plane)}


@router.get("/nodes/{node_id}")
async def show_node(node_id: str, plane: Plane) -> dict[str, Any]:
    """One node: what it offers, and whether it is there."""
    return node_view(plane, plane.nodes.get(node_id))


async def heartbeat(asked: Asked) -> Answer:
    """An agent says that it is there, every 2 s; one that is not known has to register."""
    body = await asked.json(_HEARTBEAT)
    counted = asked.plane.remote_nodes.heartbeat(
        asked.parameter("node_id"), body.status, instance_id=body.instance_id
    )
    message = "Heartbeat received" if counted else "Not counted: another instance of this node has registered"
    return Answer(Heard(message=message, timestamp=iso(time.time())))


HEARTBEAT = Operation(
    method="POST",
    path="/api/v1/nodes/{node_id}/heartbeat",
    tag="nodes",
    summary="An agent says that it is there; one that is not known has to register.",
    body=HeartbeatBody,
    answers={200: Heard, 400: ErrorBody, 404: ErrorBody, 413: ErrorBody},
)

HOT = (HotRoute(HEARTBEAT, heartbeat),)
"""A thousand agents use it five hundred times a second."""


@router.patch("/nodes/{node_id}/status")
async def renew_lease(node_id: str, body: LeaseBody, plane: Plane) -> dict[str, Any]:
    """An agent that sends no heartbeats says how it is, which holds for five minutes."""
    plane.remote_nodes.renew(node_id, body.phase, lease_s=RENEWED_LEASE_S)
    return _lease(RENEWED_LEASE_S)


@router.post("/nodes/{node_id}/shutdown", status_code=202)
async def shutdown(node_id: str, plane: Plane) -> dict[str, Any]:
    """An agent says that it goes. It stays registered: work for it waits until it is back."""
    plane.remote_nodes.leave(node_id)
    return _lease(0.0) | {"message": "Shutdown noted"}


@router.delete("/nodes/{node_id}", dependencies=[Approver])
async def remove_node(node_id: str, plane: Plane) -> dict[str, Any]:
    """Forget a node. One that still runs registers again at its next heartbeat."""
    await plane.remote_nodes.remove(node_id)
    return {"success": True, "node_id": node_id}


@router.post("/nodes/{node_id}/decision", dependencies=[Approver])
async def decide_node(node_id: str, body: NodeDecisionBody, plane: Plane) -> dict[str, str]:
    """Approve a node that waits for it, or deny one: it is given no work, and cannot register any more."""
    await plane.remote_nodes.decide(node_id, NodeApproval(body.decision), decider=body.decided_by)
    return {"node_id": node_id, "status": body.decision}


def node_view(plane: ControlPlane, node: Node) -> dict[str, Any]:
    """A node in AgentField's shape, sessions added."""
    heard_at = plane.remote_nodes.health.heard_at(node.node_id)
    return {
        "id": node.node_id,
        "base_url": node.base_url,
        "version": node.version,
        "instance_id": node.instance_id,
        "description": node.description,
        "tags": node.tags,
        "deployment_type": node.deployment_type,
        "health_status": health_of(node),
        "lifecycle_status": node.lifecycle,
        "last_heartbeat": iso(heard_at) if heard_at is not None else None,
        "registered_at": iso(node.registered_at),
        "lease_seconds": LEASE_S,
        "reasoners": _capabilities(node, CapabilityKind.REASONER),
        "skills": _capabilities(node, CapabilityKind.SKILL),
        "sessions": [_session(node, definition) for definition in node.sessions.values()],
        "metadata": node.metadata,
    }


def _capabilities(node: Node, kind: CapabilityKind) -> list[dict[str, Any]]:
    return [_capability(each) for each in node.capabilities.values() if each.kind is kind]


def _capability(capability: Capability) -> dict[str, Any]:
    return {
        "id": capability.name,
        "description": capability.description,
        "tags": capability.tags,
        "input_schema": capability.input_schema,
        "output_schema": capability.output_schema,
    }


def _session(node: Node, definition: SessionDefinition) -> dict[str, Any]:
    return {
        "name": definition.name,
        "target": f"{node.node_id}.{definition.name}",
        "provider": definition.provider,
        "transport": definition.transport,
        "modalities": definition.config.modalities,
        "tools": definition.tools,
        "tags": definition.tags,
        "metadata": definition.metadata,
    }


def _denied(plane: ControlPlane) -> list[str]:
    return [standing.registration.id for standing in plane.remote_nodes.denied()]


def _lease(seconds: float) -> dict[str, Any]:
    return {"lease_seconds": int(seconds), "next_lease_renewal": iso(time.time() + seconds)}
