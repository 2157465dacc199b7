"""A control plane inside an application of somebody else, as docs/how-to/embed.md shows it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.applications import Starlette

from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.config import Settings
from agentfield_rt.plane.app import create_app
from agentfield_rt.plane.mounting import mount


def plane_of(data: Path) -> FastAPI:
    agent = Agent("desk")

    @agent.session("voice", provider="openai", transport="websocket")
    async def voice(session: RealtimeSession) -> None:
        await session.input()

    return create_app([agent], settings=Settings(data=data, openai_api_key=SecretStr("sk-test")))


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [FastAPI, Starlette])
@pytest.mark.parametrize("root_path", ["", "/behind/a/proxy"])
async def test_a_mounted_plane_shares_its_host_s_life_and_names_its_addresses_below_its_mount(
    tmp_path: Path, kind: type[Starlette], root_path: str
) -> None:
    lives: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[dict[str, str]]:
        lives.append("begun")
        yield {"of": "the host"}
        lives.append("ended")

    service = kind(lifespan=lifespan)
    plane = plane_of(tmp_path)
    mount(service, "/voice", plane)
    async with service.router.lifespan_context(service) as state:
        assert state == {"of": "the host"}
        transport = httpx.ASGITransport(service, root_path=root_path)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            asked = f"{root_path}/voice"
            started = (await client.post(f"{asked}/api/v1/session-targets/desk.voice/start")).json()
            for name in ("offer_url", "tool_url", "events_url", "media_url"):
                assert started[name].startswith(f"{asked}/api/v1/session-instances/"), name
            session = started["events_url"].removesuffix("/events")
            assert (await client.get(session)).json()["phase"] == "idle"
            assert "<html" in (await client.get(f"{asked}/")).text
            assert (await client.get(f"{asked}/ready")).json()["ready"]
    assert lives == ["begun", "ended"]
    again = create_app(settings=Settings(data=tmp_path))
    async with again.router.lifespan_context(again):
        """The data directory is free: the plane was closed with its host."""


@pytest.mark.asyncio
async def test_a_host_that_fails_at_its_start_leaves_no_plane_open(tmp_path: Path) -> None:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[None]:
        raise RuntimeError("no database")
        yield

    service = Starlette(lifespan=lifespan)
    mount(service, "/voice", plane_of(tmp_path))
    with pytest.raises(RuntimeError, match="no database"):
        async with service.router.lifespan_context(service):
            pass
    assert not (tmp_path / "journal.db").exists()


@pytest.mark.asyncio
async def test_a_plane_that_was_mounted_without_its_lifespan_says_what_would_work(tmp_path: Path) -> None:
    service = Starlette()
    service.mount("/voice", plane_of(tmp_path))
    transport = httpx.ASGITransport(service)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost/voice") as client:
        answers = [
            await client.get("/ready"),
            await client.get("/api/v1/nodes"),
            await client.post("/api/v1/session-targets/desk.voice/start"),
            await client.post("/api/v1/execute/async/desk.look_up", json={"input": {}}),
        ]
    assert [answer.status_code for answer in answers] == [503] * 4
    assert all("mounting.mount(host, path, plane)" in answer.json()["error"] for answer in answers)
