"""Calls whose media flows browser ↔ provider, in a plane, with a real peer: spoken to, cut short, lost."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from agentfield_adapters.local.pytest_plugin import af_provider, af_provider_process
from agentfield_adapters.local.running import LocalProvider
from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.plane import providers
from agentfield_rt.registry import adapter_factory
from tests.adapters.caller import SpeakingCaller
from tests.plane.serving import Served, served

__all__ = ["af_provider", "af_provider_process"]  # also in an environment older than the plugin

STORY = "One two three four five six seven eight nine ten. " * 4


class Call:
    """A caller who is connected, and what the journal says of the call."""

    def __init__(self, server: Served, session_id: str, caller: SpeakingCaller) -> None:
        self.caller = caller
        self.server = server
        self.path = f"/api/v1/session-instances/{session_id}"
        self.records: list[dict[str, Any]] = []
        self._after = 0

    async def until(self, kind: str) -> dict[str, Any]:
        """The next record of a kind."""
        return await asyncio.to_thread(self._until, kind)

    def _until(self, kind: str) -> dict[str, Any]:
        with self.server.events(self.path.rpartition("/")[2], after=self._after) as events:
            for event, number, data in events:
                if event == "record":
                    self.records.append(json.loads(data))
                    self._after = int(number or 0)
                    if self.records[-1]["kind"] == kind:
                        return self.records[-1]
        raise AssertionError(f"the session ended without {kind}")

    async def post(self, path: str) -> None:
        await asyncio.to_thread(self.server.post, f"{self.path}{path}")

    def words(self, record: dict[str, Any], ref: str) -> str:
        return str(record["content"][record["data"][ref]])


def desk() -> Agent:
    app = Agent("desk")

    @app.session("phone", provider="local", transport="webrtc")
    async def phone(session: RealtimeSession) -> None:
        async for turn in session.turns():
            await session.say(STORY if turn.text == "tell me a story" else f"You said {turn.text}.")

    return app


@contextlib.asynccontextmanager
async def calling(
    provider: LocalProvider, data: Path, patch: pytest.MonkeyPatch, *faults: str
) -> AsyncGenerator[Call]:
    url = provider.base_url(*faults, name="call").removesuffix("/v1")
    with served(data, patch, agents=[desk()], local_url=url) as server:
        patch.setattr(providers, "adapter_factory", adapter_factory)
        session_id = await asyncio.to_thread(server.start, "desk.phone")
        caller = SpeakingCaller()
        call = Call(server, session_id, caller)
        offer = await caller.offer()
        answer = await asyncio.to_thread(server.client.post, f"{call.path}/realtime-offer", content=offer)
        await caller.accept(answer.text)
        try:
            yield call
        finally:
            await caller.hang_up()


def transcripts(*said: str) -> str:
    return f"senses: synthetic\ntranscripts: {json.dumps(said)}\n"


@pytest.mark.asyncio
async def test_a_spoken_turn_is_answered_and_speaking_again_cuts_the_answer_where_it_was_heard(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    af_provider.set_scenario(transcripts("tell me a story", "stop"))
    async with calling(af_provider, tmp_path, monkeypatch) as call:
        call.caller.speak()
        turn = await call.until("turn_started")
        await call.until("utterance_started")
        for _ in range(4):  # words, as they are played
            await call.caller.until("response.output_audio_transcript.delta")
        call.caller.speak()
        cut = await call.until("utterance_interrupted")
        await call.caller.until("output_audio_buffer.cleared")
        answer = await call.until("utterance_played")
    assert call.words(turn, "text_ref") == "tell me a story"
    assert STORY.startswith(call.words(cut, "heard_ref").rstrip(".")) and cut["data"]["heard_ms"] < 12_000
    assert call.words(answer, "heard_ref") == "You said stop."


@pytest.mark.asyncio
async def test_an_interrupt_from_the_page_falls_silent_at_the_caller(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    af_provider.set_scenario(transcripts("tell me a story"))
    async with calling(af_provider, tmp_path, monkeypatch) as call:
        call.caller.speak()
        await call.until("utterance_started")
        await call.post("/interrupt")
        await call.caller.until("output_audio_buffer.cleared")
        await call.until("realtime_interrupted")


@pytest.mark.asyncio
async def test_a_sideband_that_is_lost_is_joined_again_and_the_call_goes_on(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    af_provider.set_scenario(transcripts("tell me a story", "still here"))
    fault = "drop,type=output_audio_buffer.started,where=sideband"
    async with calling(af_provider, tmp_path, monkeypatch, fault) as call:
        call.caller.speak()
        await call.until("realtime_connection_lost")
        await call.until("realtime_restart_completed")
        call.caller.speak()
        while call.words(turn := await call.until("turn_started"), "text_ref") != "still here":
            pass
        while (
            call.words(played := await call.until("utterance_played"), "heard_ref") != "You said still here."
        ):
            pass
    assert turn and played
