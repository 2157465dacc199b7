"""A reader of events leaves at any moment: between two events too, where nothing of the stream is running."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.config import Settings
from agentfield_rt.plane.control_plane import ControlPlane, open_control_plane
from agentfield_rt.plane.sessions import StartRequest
from agentfield_rt.plane.sessions.events import session_events
from agentfield_rt.voice.session import VoiceSession


@asynccontextmanager
async def started(data: Path) -> AsyncGenerator[tuple[ControlPlane, VoiceSession]]:
    """A plane with a session that nobody has connected to."""
    agent = Agent("desk")

    @agent.session("voice", provider="openai", transport="websocket")
    async def voice(session: RealtimeSession) -> None:
        await session.input()

    settings = Settings(data=data, openai_api_key=SecretStr("sk-test"))
    async with open_control_plane([agent], settings=settings) as plane:
        yield plane, await plane.sessions.start("desk.voice", StartRequest())


@pytest.mark.asyncio
async def test_a_reader_who_leaves_between_two_events_leaves_nothing_behind(tmp_path: Path) -> None:
    async with started(tmp_path) as (plane, session):
        before = asyncio.all_tasks()
        events = session_events(plane, session, after=0, presence=True)
        assert (await anext(events)).event == "record"
        await events.aclose()
        assert asyncio.all_tasks() == before


@pytest.mark.asyncio
async def test_a_reader_who_leaves_while_waiting_leaves_nothing_behind(tmp_path: Path) -> None:
    async with started(tmp_path) as (plane, session):
        before = asyncio.all_tasks()
        events = session_events(plane, session, after=0, presence=True)
        await anext(events)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(events), 0.05)
        assert asyncio.all_tasks() == before
