"""What can be asked of the past, and what agents tell besides outcomes: the parts of it, opened as one."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agentfield_journal import ContentStore, StoreJournal
from agentfield_rt.plane.catalogue.catalogue import Catalogue
from agentfield_rt.plane.executions.executions import Executions
from agentfield_rt.plane.executions.feed import ExecutionFeed
from agentfield_rt.plane.executions.logs import ExecutionLogs
from agentfield_rt.plane.executions.reports import Reports
from agentfield_rt.plane.nodes.node import Node
from agentfield_rt.plane.notation import iso
from agentfield_rt.plane.runs import Runs
from agentfield_rt.plane.workflows.agentic import AgenticQuery
from agentfield_rt.plane.workflows.workflows import Workflows


@dataclass(frozen=True, slots=True, kw_only=True)
class Chronicle:
    """See the modules of its parts."""

    workflows: Workflows
    query: AgenticQuery
    reports: Reports
    logs: ExecutionLogs
    feed: ExecutionFeed


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a chronicle is made from."""

    journal: StoreJournal
    content: ContentStore
    catalogue: Catalogue
    runs: Runs
    executions: Executions
    nodes: Iterable[Node]


def make_chronicle(of: Sources) -> Chronicle:
    """A chronicle of one plane."""
    workflows = Workflows(of.catalogue, of.content)
    return Chronicle(
        workflows=workflows,
        query=AgenticQuery(of.catalogue, workflows, lambda: [_agent(node) for node in of.nodes]),
        reports=Reports(
            of.runs,
            of.catalogue,
            of.content,
            is_ours=lambda execution_id: of.executions.in_memory(execution_id) is not None,
        ),
        logs=ExecutionLogs(),
        feed=ExecutionFeed(of.journal),
    )


def _agent(node: Node) -> dict[str, Any]:
    kinds: dict[str, list[dict[str, Any]]] = {"reasoner": [], "skill": []}
    for capability in node.capabilities.values():
        kinds[capability.kind].append({"id": capability.name, "tags": capability.tags})
    return {
        "id": node.node_id,
        "version": node.version,
        "base_url": node.base_url,
        "lifecycle_status": node.lifecycle,
        "description": node.description,
        "tags": node.tags,
        "reasoners": kinds["reasoner"],
        "skills": kinds["skill"],
        "sessions": list(node.sessions),
        "registered_at": iso(node.registered_at),
    }
