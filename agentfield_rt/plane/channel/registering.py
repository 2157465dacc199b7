"""A node as an agent at the end of a channel says that it is."""

import time
from typing import Any

from pydantic import ValidationError

from agentfield_rt.agent import SessionDefinition
from agentfield_rt.agent.declared import OURS, with_declared
from agentfield_rt.channel.to_plane import Hello
from agentfield_rt.plane.channel.fleet import ChannelNode
from agentfield_rt.plane.errors import BadRequest
from agentfield_rt.plane.nodes import Node
from agentfield_rt.plane.nodes.registration import Registration


def registration_of(hello: Hello) -> Registration:
    """What an agent says of itself.

    Raises:
        BadRequest: names the member that is wrong.
    """
    try:
        registration = Registration.model_validate(hello.registration)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        member = ".".join(str(part) for part in problem["loc"])
        raise BadRequest(f"registration.{member}: {problem['msg']}") from None
    return registration.model_copy(update={"instance_id": hello.instance_id})


def channel_node(registration: Registration, reached_by: ChannelNode) -> Node:
    """The node of a registration, whose work and sessions go over the channel.

    Raises:
        BadRequest: names the member of the registration that is wrong.
    """
    return Node(
        node_id=registration.id,
        version=registration.version,
        instance_id=registration.instance_id,
        base_url=None,
        capabilities=registration.capabilities(),
        sessions={
            name: _with_ours(definition, registration.metadata)
            for name, definition in registration.sessions().items()
        },
        dispatcher=reached_by,
        handlers=reached_by,
        description=registration.description,
        tags=registration.tags,
        metadata=registration.metadata,
        registered_at=time.time(),
    )


def _with_ours(definition: SessionDefinition, metadata: dict[str, Any]) -> SessionDefinition:
    for session in metadata["custom"]["sessions"]:
        if session["name"] == definition.name and OURS in session:
            try:
                return with_declared(definition, session[OURS])
            except ValueError as error:
                raise BadRequest(f"session {definition.name!r}: {error}") from None
    return definition
