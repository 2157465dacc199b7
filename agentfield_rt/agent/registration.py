"""An agent as it registers at a plane elsewhere: AgentField's body, and beside it what only we declare."""

import os
import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agentfield_rt import __version__
from agentfield_rt.agent.declared import OURS, declared
from agentfield_rt.agent.definition import SessionDefinition
from agentfield_rt.agent.reasoner import Reasoner
from agentfield_rt.turn_detection import PUSH_TO_TALK

if TYPE_CHECKING:
    from agentfield_rt.agent.agent import Agent

CHANNEL_URL = "channel://{node_id}"
"""Where it is reached: over the channel that it opened itself."""


def registration_of(agent: "Agent", *, instance_id: str) -> dict[str, Any]:
    """The body of a registration (`POST /api/v1/nodes/register`)."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {
        "id": agent.node_id,
        "team_id": "default",
        "base_url": CHANNEL_URL.format(node_id=agent.node_id),
        "version": agent.version,
        "reasoners": [
            _capability(reasoner) | {"accepts_webhook": "false"} for reasoner in agent.reasoners.values()
        ],
        "skills": [_capability(skill) for skill in agent.skills.values()],
        "proposed_tags": list(agent.tags),
        "instance_id": instance_id,
        "lifecycle_status": "ready",
        "communication_config": {
            "protocols": ["channel"],
            "websocket_endpoint": "",
            "heartbeat_interval": "2s",
        },
        "health_status": "healthy",
        "last_heartbeat": now,
        "registered_at": now,
        "features": {"experimental": {}},
        "metadata": {
            "deployment": {
                "environment": os.environ.get("AGENTFIELD_ENVIRONMENT", "development"),
                "platform": f"{platform.system().lower()}-{platform.machine()}",
                "region": "",
                "tags": {"sdk_version": __version__, "language": "python"},
            },
            "performance": {"latency_ms": 0, "throughput_ps": 0},
            "custom": {
                "description": agent.description,
                "tags": list(agent.tags),
                "sessions": [_session(definition) for definition in agent.sessions.values()],
            },
        },
    }


def _capability(reasoner: Reasoner) -> dict[str, Any]:
    return {
        "id": reasoner.name,
        "description": reasoner.description,
        "input_schema": reasoner.input_schema,
        "output_schema": reasoner.output_schema,
        "return_type_hint": reasoner.returns,
        "memory_config": {"auto_inject": [], "memory_retention": "", "cache_results": False},
        "tags": list(reasoner.tags),
        "proposed_tags": list(reasoner.tags),
        "vc_enabled": False,
    }


def _session(definition: SessionDefinition) -> dict[str, Any]:
    config = definition.config
    detection: Any = config.turn_detection
    return {
        "name": definition.name,
        "provider": definition.provider,
        "transport": definition.transport,
        "model": config.model,
        "modalities": list(config.modalities),
        "voice": config.voice,
        "tools": list(definition.tools),
        "tags": list(definition.tags),
        "proposed_tags": list(definition.tags),
        "approved_tags": [],
        "metadata": dict(definition.metadata),
        "turn_detection": {"type": PUSH_TO_TALK} if detection is None else dict(detection),
        OURS: declared(definition),
    }
