"""What all nodes offer, filtered, and written as AgentField's discovery writes it. Knows nothing of HTTP."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentfield_rt.plane.executions.dispatch import CapabilityKind
from agentfield_rt.plane.nodes.health import HealthStatus, health_of
from agentfield_rt.plane.nodes.node import Capability, Node

Offer = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for; what is empty or None excludes nothing.

    Attributes:
        reasoner: A name; `find*`, `*find` and `*find*` stand for all that begin with, end with or hold it.
        tags: Every one of them; `*` as in names.
        node_ids: One of them.
    """

    node_ids: frozenset[str] = frozenset()
    reasoner: str | None = None
    skill: str | None = None
    tags: tuple[str, ...] = ()
    health_status: HealthStatus | None = None
    limit: int = 100
    offset: int = 0

    def takes(self, node: Node, capability: Capability) -> bool:
        """Whether a node's capability is looked for. Who asks for a reasoner by name is shown no skills."""
        name = self.reasoner if capability.kind is CapabilityKind.REASONER else self.skill
        other = self.skill if capability.kind is CapabilityKind.REASONER else self.reasoner
        if name is None and other is not None:
            return False
        tags = (*capability.tags, *node.tags)
        return (name is None or _fits(name, capability.name)) and all(
            any(_fits(wanted, tag) for tag in tags) for wanted in self.tags
        )

    def takes_node(self, node: Node) -> bool:
        """Whether a node is looked at at all."""
        return (not self.node_ids or node.node_id in self.node_ids) and (
            self.health_status is None or health_of(node) == self.health_status
        )

    @property
    def is_selective(self) -> bool:
        """Whether a node with nothing to show is left out."""
        return bool(self.reasoner or self.skill or self.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class Included:
    """Which members of a capability are written."""

    descriptions: bool = True
    input_schemas: bool = False
    output_schemas: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What was found: a page of nodes, each with those of its capabilities that are looked for.

    Attributes:
        total: How many nodes there are on all pages, and reasoners and skills of them.
    """

    wanted: Wanted
    discovered_at: str
    total: tuple[int, int, int]
    page: tuple[tuple[Node, tuple[Capability, ...]], ...]
    heard: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def has_more(self) -> bool:
        return self.wanted.offset + len(self.page) < self.total[0]


def discover(
    nodes: Iterable[Node], wanted: Wanted, *, discovered_at: str, heard: Mapping[str, str]
) -> Discovery:
    """Look through `nodes`.

    Args:
        heard: When each was last heard of.
    """
    found: list[tuple[Node, tuple[Capability, ...]]] = []
    for node in sorted(filter(wanted.takes_node, nodes), key=lambda node: node.node_id):
        offers = tuple(each for each in node.capabilities.values() if wanted.takes(node, each))
        if offers or not wanted.is_selective:
            found.append((node, offers))
    kinds = [offer.kind for _, offers in found for offer in offers]
    reasoners = kinds.count(CapabilityKind.REASONER)
    return Discovery(
        wanted=wanted,
        discovered_at=discovered_at,
        total=(len(found), reasoners, len(kinds) - reasoners),
        page=tuple(found[wanted.offset : wanted.offset + wanted.limit]),
        heard=heard,
    )


def as_json(found: Discovery, included: Included) -> dict[str, Any]:
    """Everything, by node."""
    agents, reasoners, skills = found.total
    wanted = found.wanted
    return {
        "discovered_at": found.discovered_at,
        "total_agents": agents,
        "total_reasoners": reasoners,
        "total_skills": skills,
        "pagination": {"limit": wanted.limit, "offset": wanted.offset, "has_more": found.has_more},
        "capabilities": [
            {
                **_node(node, found.heard),
                "reasoners": _offers(node, offers, CapabilityKind.REASONER, included),
                "skills": _offers(node, offers, CapabilityKind.SKILL, included),
            }
            for node, offers in found.page
        ],
    }


def as_compact(found: Discovery) -> dict[str, Any]:
    """No more than what can be called, and by what name."""

    def lines(kind: CapabilityKind) -> list[Offer]:
        return [
            {
                "id": offer.name,
                "agent_id": node.node_id,
                "target": _target(node, offer),
                "tags": list(offer.tags),
            }
            for node, offers in found.page
            for offer in offers
            if offer.kind is kind
        ]

    return {
        "discovered_at": found.discovered_at,
        "reasoners": lines(CapabilityKind.REASONER),
        "skills": lines(CapabilityKind.SKILL),
    }


def _node(node: Node, heard: Mapping[str, str]) -> dict[str, Any]:
    return {
        "agent_id": node.node_id,
        "base_url": node.base_url or "",
        "version": node.version,
        "health_status": health_of(node),
        "deployment_type": node.deployment_type,
        "last_heartbeat": heard.get(node.node_id, ""),
    }


def _offers(
    node: Node, offers: tuple[Capability, ...], kind: CapabilityKind, included: Included
) -> list[Offer]:
    return [_offer(node, offer, included) for offer in offers if offer.kind is kind]


def _offer(node: Node, offer: Capability, included: Included) -> Offer:
    written: Offer = {
        "id": offer.name,
        "tags": list(offer.tags),
        "invocation_target": _target(node, offer),
    }
    if included.descriptions:
        written["description"] = offer.description
    if included.input_schemas:
        written["input_schema"] = offer.input_schema
    if included.output_schemas and offer.kind is CapabilityKind.REASONER:
        written["output_schema"] = offer.output_schema
    return written


def _target(node: Node, offer: Capability) -> str:
    """What `POST /execute/async/…` takes. AgentField writes a colon here, which its own routes refuse."""
    return f"{node.node_id}.{offer.name}"


def _fits(wanted: str, name: str) -> bool:
    word = wanted.strip("*")
    if wanted.startswith("*") and wanted.endswith("*"):
        return word in name
    if wanted.startswith("*"):
        return name.endswith(word)
    if wanted.endswith("*"):
        return name.startswith(word)
    return name == wanted
