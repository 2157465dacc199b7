"""A control plane inside an application of somebody else, as docs/how-to/embed.md shows it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.config import Settings
from agentfield_rt.plane.app import create_app


@pytest.mark.asyncio
async def test_a_mounted_plane_names_its_addresses_below_its_mount(tmp_path: Path) -> None:
    agent = Agent("desk")

    @agent.session("voice", provider="openai", transport="websocket")
    async def voice(session: RealtimeSession) -> None:
        await session.input()

    key = SecretStr("sk-test")
    plane = create_app([agent], settings=Settings(data=tmp_path, openai_api_key=key))

    @asynccontextmanager
    async def lifespan(service: FastAPI) -> AsyncGenerator[None]:
        async with plane.router.lifespan_context(plane):
            yield

    service = FastAPI(lifespan=lifespan)
    service.mount("/voice", plane)
    async with service.router.lifespan_context(service):
        transport = httpx.ASGITransport(service)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            started = (await client.post("/voice/api/v1/session-targets/desk.voice/start")).json()
            for name in ("offer_url", "tool_url", "events_url", "media_url"):
                assert started[name].startswith("/voice/api/v1/session-instances/"), name
            session = started["events_url"].removesuffix("/events")
            assert (await client.get(session)).json()["phase"] == "idle"
            assert "<html" in (await client.get("/voice/")).text
