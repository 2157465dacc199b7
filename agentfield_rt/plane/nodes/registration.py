"""What a node says of itself when it registers over HTTP, in AgentField's shape, and what we make of it.

Members that the plane does not know are passed over: an SDK may be newer than this.
"""

from typing import Annotated, Any, cast

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from agentfield_rt.agent import SessionDefinition
from agentfield_rt.errors import UnsupportedTransport
from agentfield_rt.plane.errors import BadRequest
from agentfield_rt.plane.executions.dispatch import CapabilityKind
from agentfield_rt.plane.nodes.node import Capability
from agentfield_rt.ports import SessionConfig
from agentfield_rt.registry import validate_pair
from agentfield_rt.turn_detection import InvalidTurnDetection, validate_turn_detection

CAPABILITIES_MAX = 500
"""Reasoners of a node, and skills."""

SESSIONS_MAX = 100
TAGS_MAX = 64

NodeId = Annotated[str, StringConstraints(pattern=r"^[\w-]+$", max_length=128)]
"""The first half of every target, so without dots."""

Name = Annotated[str, StringConstraints(pattern=r"^[^\s./?#%\\]+$", max_length=128)]
Word = Annotated[str, StringConstraints(max_length=128)]
Tags = Annotated[list[Word], Field(max_length=TAGS_MAX)]
Schema = dict[str, Any]


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore")


class CapabilityBody(_Body):
    """A reasoner or a skill. Newer SDKs leave out a schema that says nothing."""

    id: Name
    description: str | None = None
    input_schema: Schema | None = None
    output_schema: Schema | None = None
    tags: Tags = []
    proposed_tags: Tags = []

    def capability(self, kind: CapabilityKind) -> Capability:
        return Capability(
            name=self.id,
            kind=kind,
            description=self.description or "",
            input_schema=self.input_schema or {},
            output_schema=self.output_schema or {},
            tags=_together(self.tags, self.proposed_tags),
        )


class SessionBody(_Body):
    """A session as the SDK declares it in `metadata.custom.sessions`."""

    name: Name
    provider: Word
    transport: Word
    model: Word | None = None
    voice: Word | None = None
    modalities: Annotated[list[Word], Field(max_length=2)] = ["audio", "text"]
    tools: Annotated[list[Word], Field(max_length=CAPABILITIES_MAX)] = []
    tags: Tags = []
    proposed_tags: Tags = []
    metadata: dict[str, Any] = {}
    turn_detection: Any = None


class Registration(_Body):
    """The body of `POST /nodes/register`."""

    id: NodeId
    base_url: Annotated[str, StringConstraints(min_length=1, max_length=2_048)]
    version: Word = ""
    team_id: Word = "default"
    instance_id: Word = ""
    lifecycle_status: Word = ""
    proposed_tags: Tags = []
    reasoners: Annotated[list[CapabilityBody], Field(max_length=CAPABILITIES_MAX)] = []
    skills: Annotated[list[CapabilityBody], Field(max_length=CAPABILITIES_MAX)] = []
    metadata: dict[str, Any] = {}

    def capabilities(self) -> dict[str, Capability]:
        """Reasoners and skills by name.

        Raises:
            BadRequest: two have one name; `node.name` would not say which is meant.
        """
        found: dict[str, Capability] = {}
        for place, bodies, kind in (
            ("reasoners", self.reasoners, CapabilityKind.REASONER),
            ("skills", self.skills, CapabilityKind.SKILL),
        ):
            for index, body in enumerate(bodies):
                if body.id in found:
                    raise BadRequest(f"{place}[{index}].id: {body.id!r} is the name of another one already")
                found[body.id] = body.capability(kind)
        return found

    def sessions(self) -> dict[str, SessionDefinition]:
        """The sessions by name; none of them has a function here.

        Raises:
            BadRequest: names the member that is wrong.
        """
        place = "metadata.custom.sessions"
        try:
            sessions = msgspec.convert(_custom(self.metadata).get("sessions") or [], list[Any])
        except msgspec.ValidationError:
            raise BadRequest(f"{place}: must be a list") from None
        if len(sessions) > SESSIONS_MAX:
            raise BadRequest(f"{place}: has more than {SESSIONS_MAX} sessions")
        found: dict[str, SessionDefinition] = {}
        for index, given in enumerate(sessions):
            definition = _session(f"{place}[{index}]", given)
            if definition.name in found:
                raise BadRequest(f"{place}[{index}].name: {definition.name!r} is declared twice")
            found[definition.name] = definition
        return found

    @property
    def description(self) -> str:
        return _text(_custom(self.metadata).get("description"))

    @property
    def tags(self) -> tuple[str, ...]:
        """The node's own, without those of what it offers."""
        return tuple(self.proposed_tags)

    def every_tag(self) -> frozenset[str]:
        """The node's and those of all it offers: what an operator approves."""
        tags = set(self.proposed_tags)
        for capability in self.capabilities().values():
            tags.update(capability.tags)
        for definition in self.sessions().values():
            tags.update(definition.tags)
        return frozenset(tags)


def _session(place: str, given: Any) -> SessionDefinition:
    try:
        body = SessionBody.model_validate(given)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        member = "".join(f".{part}" if isinstance(part, str) else f"[{part}]" for part in problem["loc"])
        raise BadRequest(f"{place}{member}: {problem['msg']}") from None
    try:
        provider, transport = validate_pair(body.provider, body.transport)
    except UnsupportedTransport as error:
        raise BadRequest(f"{place}.provider, {place}.transport: {error}") from None
    for index, modality in enumerate(body.modalities):
        if modality not in ("audio", "text"):
            raise BadRequest(f"{place}.modalities[{index}]: must be audio or text")
    try:
        detection = validate_turn_detection(body.turn_detection, provider=provider, transport=transport)
    except InvalidTurnDetection as error:
        raise BadRequest(f"{place}.turn_detection: {error}") from None
    return SessionDefinition(
        name=body.name,
        provider=provider,
        transport=transport,
        config=SessionConfig(
            model=body.model,
            voice=body.voice,
            instructions=_text(body.metadata.get("instructions")),
            modalities=tuple(body.modalities),
            turn_detection=detection,
        ),
        tools=tuple(body.tools),
        tags=_together(body.tags, body.proposed_tags),
        metadata=body.metadata,
    )


def _custom(metadata: dict[str, Any]) -> dict[str, Any]:
    """Where the SDK puts what AgentField has no place of its own for."""
    custom = metadata.get("custom")
    return cast(dict[str, Any], custom) if isinstance(custom, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _together(*tags: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tag for some in tags for tag in some))
