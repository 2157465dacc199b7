"""Discovery: what every node offers, by which name it is called."""

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from agentfield_rt.plane.http.dependencies import Plane
from agentfield_rt.plane.nodes.discovery import Included, Wanted, as_compact, as_json, discover
from agentfield_rt.plane.nodes.discovery_xml import as_xml
from agentfield_rt.plane.nodes.health import HealthStatus
from agentfield_rt.plane.notation import iso

WORDS_CHARS_MAX = 4_096

router = APIRouter(prefix="/api/v1", tags=["discovery"])
Word = Annotated[str, Field(max_length=256)]
Words = Annotated[str, Field(max_length=WORDS_CHARS_MAX)]
"""Several, with commas between them."""


def _in_small_letters(word: str | None) -> str | None:
    """As AgentField compares it; an empty one counts as none."""
    return word.lower() or None if isinstance(word, str) else word


class DiscoveryQuery(BaseModel):
    """AgentField's parameters. What a newer SDK asks for besides is passed over."""

    model_config = ConfigDict(extra="ignore")

    format: Literal["json", "compact", "xml"] = "json"
    agent: Word | None = None
    node_id: Word | None = None
    agent_ids: Words = ""
    node_ids: Words = ""
    reasoner: Word | None = None
    skill: Word | None = None
    tags: Words = ""
    include_descriptions: bool = True
    include_input_schema: bool = False
    include_output_schema: bool = False
    health_status: Annotated[HealthStatus | None, BeforeValidator(_in_small_letters)] = None
    limit: int = Field(default=100, ge=1, le=500)
    offset: int = Field(default=0, ge=0, le=1_000_000)

    def wanted(self) -> Wanted:
        one = [word for word in (self.agent, self.node_id) if word]
        return Wanted(
            node_ids=frozenset([*one, *_words(self.agent_ids), *_words(self.node_ids)]),
            reasoner=self.reasoner or None,
            skill=self.skill or None,
            tags=tuple(_words(self.tags)),
            health_status=self.health_status,
            limit=self.limit,
            offset=self.offset,
        )

    def included(self) -> Included:
        return Included(
            descriptions=self.include_descriptions,
            input_schemas=self.include_input_schema,
            output_schemas=self.include_output_schema,
        )


@router.get(
    "/discovery/capabilities",
    response_model=None,
    responses={200: {"content": {"application/xml": {"schema": {"type": "string"}}}}},
)
async def capabilities(query: Annotated[DiscoveryQuery, Query()], plane: Plane) -> dict[str, Any] | Response:
    """Reasoners and skills of all nodes, with filters, as JSON, as compact JSON or as XML."""
    health = plane.remote_nodes.health
    heard = {
        node.node_id: iso(at) for node in plane.nodes if (at := health.heard_at(node.node_id)) is not None
    }
    found = discover(plane.nodes, query.wanted(), discovered_at=iso(time.time()), heard=heard)
    if query.format == "compact":
        return as_compact(found)
    if query.format == "xml":
        return Response(as_xml(found, query.included()), media_type="application/xml")
    return as_json(found, query.included())


def _words(text: str) -> list[str]:
    return [word for part in text.split(",") if (word := part.strip())]
