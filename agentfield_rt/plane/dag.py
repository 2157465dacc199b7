"""The workflow of a run as AgentField draws it, folded from the journal.

A session is the root of its run; turns hang below it, and below a turn the reasoners it called.
"""

from collections.abc import Iterable
from typing import Any

from agentfield_journal.envelope import Envelope
from agentfield_rt.core import records
from agentfield_rt.plane.notation import iso
from agentfield_rt.run import decode

Node = dict[str, Any]

_STATUS_AFTER = {
    records.ExecutionSucceeded.kind: "succeeded",
    records.ExecutionFailed.kind: "failed",
    records.ExecutionCancelled.kind: "cancelled",
    records.TurnCompleted.kind: "succeeded",
    records.TurnFailed.kind: "failed",
}


def workflow_dag(run_id: str, envelopes: Iterable[Envelope]) -> dict[str, Any] | None:
    """The DAG of a run; None when nothing ran in it."""
    nodes = _fold(run_id, envelopes)
    if not nodes:
        return None
    roots = [node for node in nodes.values() if node["parent_execution_id"] not in nodes]
    root = roots[0]
    for other in roots[1:]:  # a parent nobody knows: AgentField counts it as a root, we draw one tree
        other["parent_execution_id"] = root["execution_id"]
    for node in nodes.values():
        if node is not root:
            nodes[node["parent_execution_id"]]["children"].append(node)
    depth = _set_depths(root, 0)
    timeline: list[Node] = [{**node, "children": []} for node in nodes.values()]
    return {
        "root_workflow_id": run_id,
        "workflow_status": _status(nodes.values()),
        "workflow_name": root["reasoner_id"],
        "session_id": root["session_id"],
        "total_nodes": len(nodes),
        "max_depth": depth,
        "dag": root,
        "timeline": timeline,
    }


def _fold(run_id: str, envelopes: Iterable[Envelope]) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    session: Node | None = None
    for envelope in envelopes:
        match envelope.kind:
            case records.SessionStarted.kind | records.TurnStarted.kind | records.ExecutionQueued.kind:
                node = _node(run_id, envelope, session)
                nodes[node["execution_id"]] = node
                if envelope.kind == records.SessionStarted.kind:
                    session = node
            case records.SessionEnded.kind if session is not None:
                _end(session, envelope, "succeeded")
            case kind if kind in _STATUS_AFTER and envelope.op_id in nodes:
                _end(nodes[envelope.op_id], envelope, _STATUS_AFTER[kind])
            case _:
                pass
    return nodes


def _node(run_id: str, envelope: Envelope, session: Node | None) -> Node:
    record = decode(envelope)
    match record:
        case records.SessionStarted(target=target):
            execution_id, parent, status = envelope.session_id, None, "running"
            node_id, _, name = target.partition(".")
        case records.ExecutionQueued(op_id=execution_id, target=target, parent_execution_id=parent):
            status = "running"
            node_id, _, name = target.partition(".")
            if parent is None:
                parent = envelope.turn_id or (session["execution_id"] if session else None)
        case _:
            execution_id, status, name = envelope.op_id, "running", "turn"
            parent = session["execution_id"] if session else None
            node_id = session["agent_node_id"] if session else ""
    return {
        "workflow_id": run_id,
        "execution_id": execution_id,
        "agent_node_id": node_id,
        "reasoner_id": name,
        "status": status,
        "session_id": envelope.session_id,
        "started_at": iso(envelope.at_ns / 1e9),
        "completed_at": None,
        "duration_ms": None,
        "started_at_ns": envelope.at_ns,
        "parent_execution_id": parent,
        "workflow_depth": 0,
        "children": [],
        "notes": [],
        "notes_count": 0,
    }


def _end(node: Node, envelope: Envelope, status: str) -> None:
    node["status"] = status
    node["completed_at"] = iso(envelope.at_ns / 1e9)
    node["duration_ms"] = (envelope.at_ns - node["started_at_ns"]) // 1_000_000


def _set_depths(node: Node, depth: int) -> int:
    node["workflow_depth"] = depth
    del node["started_at_ns"]
    return max([depth, *(_set_depths(child, depth + 1) for child in node["children"])])


def _status(nodes: Iterable[Node]) -> str:
    statuses = {node["status"] for node in nodes}
    for status in ("failed", "running"):
        if status in statuses:
            return status
    return "succeeded"
