"""The workflow of a run as AgentField draws it, from the catalogue's rows. Pure; long runs take a while.

A session is the root of its run; turns hang below it, and below a turn the reasoners it called.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentfield_rt.errors import CloseReason
from agentfield_rt.plane.catalogue.rows import ExecutionRow, SessionRow, TurnRow
from agentfield_rt.plane.notation import iso_ns

DEPTH_DRAWN_MAX = 200
"""Whatever is called deeper is drawn beside its caller: readers of JSON stop at some depth."""

_FAILED = frozenset(
    {
        CloseReason.PROVIDER_FAILURE,
        CloseReason.INTERNAL,
        CloseReason.HANDLER_FAILURE,
        CloseReason.TAMPERED,
    }
)
_ORDER = ("running", "failed", "timeout", "cancelled")
"""What a workflow is called that has nodes of several of these; AgentField's order."""
_UNFINISHED = frozenset({"queued", "running", "waiting", "pending"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRows:
    """What the catalogue has of a run.

    Attributes:
        has_ended: Whether the run has its last record: what an agent then has not reported, it will not.
    """

    run_id: str
    has_ended: bool
    sessions: Sequence[SessionRow] = ()
    turns: Sequence[TurnRow] = ()
    executions: Sequence[ExecutionRow] = ()


@dataclass(slots=True, eq=False)
class Node:
    """A session, a turn or an execution in a workflow.

    Attributes:
        parent_id: What it hangs below.
        inner: What is drawn below it.
    """

    id: str
    agent_node_id: str
    name: str
    status: str
    reason: str | None
    parent_id: str | None
    started_at_ns: int
    ended_at_ns: int | None
    session_id: str | None = None
    actor_id: str | None = None
    is_reported: bool = False
    depth: int = 0
    inner: list["Node"] = field(default_factory=list["Node"])


@dataclass(frozen=True, slots=True)
class Workflow:
    """The tree of a run; `nodes` are all of it, in the order of time."""

    rows: RunRows
    root: Node
    nodes: Sequence[Node]

    @property
    def run_id(self) -> str:
        return self.rows.run_id

    @property
    def status(self) -> str:
        found = {
            "running" if node.status in _UNFINISHED else node.status
            for node in self.nodes
            if not (node.is_reported and node.status in _UNFINISHED and self.rows.has_ended)
        }
        return next((status for status in _ORDER if status in found), "succeeded")

    @property
    def depth_max(self) -> int:
        return max(node.depth for node in self.nodes)

    @property
    def actor_id(self) -> str | None:
        return next((node.actor_id for node in self.nodes if node.actor_id is not None), None)


def workflow(rows: RunRows) -> Workflow | None:
    """What ran in a run, as a tree; None when nothing did."""
    found = [_of_session(row) for row in rows.sessions]
    by_session = {node.id: node for node in found}
    found += [_of_turn(row, by_session.get(row.session_id or "")) for row in rows.turns]
    known = {node.id: node for node in found}
    ids = known.keys() | {row.execution_id for row in rows.executions}
    for row in rows.executions:
        known.setdefault(row.execution_id, _of_execution(row, ids))
    if not known:
        return None
    nodes = sorted(known.values(), key=lambda node: node.started_at_ns)
    roots = (node for node in nodes if node.parent_id not in known)
    root = next(iter(by_session.values()), None) or next(roots, nodes[0])
    _hang(root, nodes, known.keys())
    return Workflow(rows, root, nodes)


def _hang(root: Node, nodes: Sequence[Node], known: Collection[str]) -> None:
    """Give every node its place below `root`: also where nobody knows its parent, or it calls itself."""
    below: dict[str, list[Node]] = {}
    strays: list[Node] = []
    for node in nodes:
        if node.parent_id is not None and node.parent_id in known:
            below.setdefault(node.parent_id, []).append(node)
        elif node is not root:
            strays.append(node)
    placed = {root.id}
    _hang_below(root, below, placed)
    for stray in (*strays, *nodes):  # of whatever is left of `nodes`, each was called in a circle
        if stray.id not in placed:
            stray.parent_id, stray.depth = root.id, 1
            root.inner.append(stray)
            placed.add(stray.id)
            _hang_below(stray, below, placed)


def _hang_below(top: Node, below: Mapping[str, Sequence[Node]], placed: set[str]) -> None:
    waiting = deque([(top, top)])
    while waiting:
        node, over = waiting.popleft()  # `over` is where its calls are drawn: itself, unless it lies too deep
        for child in below.get(node.id, ()):
            if child.id in placed:
                continue
            placed.add(child.id)
            child.depth = over.depth + 1
            over.inner.append(child)
            waiting.append((child, child if child.depth < DEPTH_DRAWN_MAX else over))


def _of_session(row: SessionRow) -> Node:
    node_id, _, name = row.target.partition(".")
    status = "running"
    if row.ended_at_ns is not None:
        status = "failed" if row.close_reason in _FAILED else "succeeded"
        if row.close_reason == CloseReason.CANCEL:
            status = "cancelled"
    return Node(
        id=row.session_id,
        agent_node_id=node_id,
        name=name,
        status=status,
        reason=row.close_reason,
        parent_id=None,
        started_at_ns=row.started_at_ns,
        ended_at_ns=row.ended_at_ns,
        session_id=row.session_id,
    )


def _of_turn(row: TurnRow, session: Node | None) -> Node:
    return Node(
        id=row.turn_id,
        agent_node_id=session.agent_node_id if session else "",
        name="turn",
        status=row.status,
        reason=row.reason,
        parent_id=row.session_id,
        started_at_ns=row.started_at_ns,
        ended_at_ns=row.ended_at_ns,
        session_id=row.session_id,
    )


def _of_execution(row: ExecutionRow, known: Collection[str]) -> Node:
    above = (row.parent_execution_id, row.turn_id, row.session_id)
    return Node(
        id=row.execution_id,
        agent_node_id=row.node_id,
        name=row.name,
        status=row.status,
        reason=row.reason,
        parent_id=next((each for each in above if each in known), None),
        started_at_ns=row.started_at_ns or row.queued_at_ns,
        ended_at_ns=row.ended_at_ns,
        session_id=row.session_id,
        actor_id=row.actor_id,
        is_reported=row.is_reported,
    )


def drawn(found: Workflow, *, notes: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """AgentField's answer, as a tree and as a list. `notes` are those of each execution."""
    flat = {node.id: _full(found.run_id, node, notes.get(node.id, [])) for node in found.nodes}
    timeline: list[dict[str, Any]] = [{**each, "children": []} for each in flat.values()]
    for node in found.nodes:
        flat[node.id]["children"] = [flat[inner.id] for inner in node.inner]
    return _summary(found) | {"dag": flat[found.root.id], "timeline": timeline}


def drawn_lightly(found: Workflow) -> dict[str, Any]:
    """AgentField's answer without the tree, and with no more of each node than is needed to draw one."""
    agents = dict.fromkeys(node.agent_node_id for node in found.nodes if node.agent_node_id)
    return _summary(found) | {
        "timeline": [_light(node) for node in found.nodes],
        "mode": "lightweight",
        "unique_agent_node_ids": list(agents),
    }


def _summary(found: Workflow) -> dict[str, Any]:
    return _present(
        root_workflow_id=found.run_id,
        workflow_status=found.status,
        workflow_name=found.root.name,
        session_id=found.root.session_id,
        actor_id=found.actor_id,
        total_nodes=len(found.nodes),
        max_depth=found.depth_max,
    )


def _light(node: Node) -> dict[str, Any]:
    return _present(
        execution_id=node.id,
        parent_execution_id=node.parent_id,
        agent_node_id=node.agent_node_id,
        reasoner_id=node.name,
        status=node.status,
        status_reason=node.reason,
        started_at=iso_ns(node.started_at_ns),
        completed_at=iso_ns(node.ended_at_ns),
        duration_ms=duration_ms(node.started_at_ns, node.ended_at_ns),
        workflow_depth=node.depth,
    )


def _full(run_id: str, node: Node, notes: list[dict[str, Any]]) -> dict[str, Any]:
    latest = {"latest_note": notes[-1]} if notes else {}
    return {"workflow_id": run_id, **_light(node), "notes": notes, "notes_count": len(notes), **latest}


def _present(**members: Any) -> dict[str, Any]:
    """Without what is not known, as AgentField leaves it out."""
    return {name: value for name, value in members.items() if value is not None}


def duration_ms(started_at_ns: int, ended_at_ns: int | None) -> int | None:
    """How long something took; None while it lasts."""
    return None if ended_at_ns is None else max(ended_at_ns - started_at_ns, 0) // 1_000_000
