"""What an AgentField agent says when it registers, and a plane to say it to."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentfield_rt import Agent
from tests.plane.serving import served

REASONER = {"id": "think", "input_schema": {"type": "object"}, "output_schema": {}, "tags": ["slow"]}
SKILL = {"id": "add", "input_schema": {"type": "object"}, "tags": ["maths"], "description": "Adds."}
SESSION = {
    "name": "voice", "provider": "openai", "transport": "webrtc", "model": None, "voice": None,
    "modalities": ["audio", "text"], "tools": ["add"], "tags": ["support:voice"],
    "proposed_tags": ["support:voice"], "approved_tags": [], "metadata": {"team": "desk"},
}  # fmt: skip


def registration(address: str, **more: Any) -> dict[str, Any]:
    """The body of an agent with a reasoner, a skill and a session."""
    return {
        "id": "worker",
        "team_id": "default",
        "base_url": address,
        "version": "1.0.0",
        "reasoners": [REASONER],
        "skills": [SKILL],
        "proposed_tags": ["team:a"],
        "instance_id": "one",
        "lifecycle_status": "starting",
        "communication_config": {"protocols": ["http"], "heartbeat_interval": "2s"},
        "health_status": "healthy",
        "features": {"experimental": {}},
        "metadata": {"deployment": {"platform": "python"}, "custom": {"sessions": [SESSION]}},
        "callback_discovery": {"mode": "python-sdk:auto", "submitted_at": "now"},
        **more,
    }


@dataclass
class Plane:
    """A plane, as an agent and its callers reach it."""

    client: httpx.AsyncClient

    async def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return await self.client.post(f"/api/v1{path}", json=body, **more)

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.client.get(f"/api/v1{path}", params=query)

    async def node(self, node_id: str = "worker") -> dict[str, Any]:
        found: dict[str, Any] = (await self.get(f"/nodes/{node_id}")).json()
        return found

    async def submit(self, target: str, **given: Any) -> str:
        """Submit an execution and return its id."""
        answer = await self.post(f"/execute/async/{target}", {"input": given})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["execution_id"])

    async def finished(self, execution_id: str) -> dict[str, Any]:
        """An execution once it is over."""
        while True:
            found: dict[str, Any] = (await self.get(f"/executions/{execution_id}")).json()
            if found["status"] not in ("queued", "running"):
                return found


@asynccontextmanager
async def plane(data: Path, patch: pytest.MonkeyPatch, **settings: Any) -> AsyncGenerator[Plane]:
    """A plane over `data`, served for real, with one agent of its own process."""
    with served(data, patch, agents=[Agent("own")], **settings) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
            yield Plane(client)
