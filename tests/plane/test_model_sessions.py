"""Sessions of agents elsewhere that have no handler here: the local provider's model answers by itself.

Real sockets throughout: an agent that registers over HTTP, a plane, a provider on this machine.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from agentfield_adapters.local.running import LocalProvider
from agentfield_rt import registry
from agentfield_rt.plane import providers
from agentfield_rt.plane.sessions.specs import INSTRUCTIONS
from tests.nodes.agents import registration
from tests.nodes.peer import Peer, answer, peer
from tests.plane.serving import OFFER, served

pytestmark = pytest.mark.asyncio

NUMBER = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
SKILLS = [{"id": "add", "input_schema": NUMBER, "description": "Adds nine."}]
TALK_MAX_S = 15.0


@dataclass
class Stage:
    """A plane with two registered agents, and what their callers and their provider see."""

    http: httpx.AsyncClient
    url: str
    agent: Peer
    provider: LocalProvider

    async def start(self, target: str, **body: Any) -> dict[str, Any]:
        answered = await self.http.post(f"/api/v1/sessions/{target}/start", json=body)
        assert answered.status_code == 201, answered.text
        started: dict[str, Any] = answered.json()
        return started

    async def kinds(self, session_id: str, *, until: str) -> list[dict[str, Any]]:
        """The records of a session up to the first of a kind."""
        found: list[dict[str, Any]] = []
        path = f"/api/v1/session-instances/{session_id}/events"
        async with asyncio.timeout(TALK_MAX_S), self.http.stream("GET", path, timeout=None) as events:
            is_record = False
            async for line in events.aiter_lines():
                if line.startswith("event:"):
                    is_record = line == "event: record"
                elif line.startswith("data:") and is_record:
                    found.append(httpx.Response(200, text=line[5:]).json())
                    if found[-1]["kind"] == until:
                        return found
        return found

    def configured(self) -> dict[str, Any]:
        """The session as the provider's socket got it last."""
        session: dict[str, Any] = self.provider.received("session.update")[-1]["session"]
        return session


def _declared(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "provider": "local", "transport": "websocket", "model": None, "voice": None,
        "modalities": ["audio", "text"], "tools": ["add", "oracle.ask"], "tags": [], "proposed_tags": [],
        "approved_tags": [], "metadata": {"team": "desk"}, **more,
    }  # fmt: skip


@asynccontextmanager
async def stage(data: Path, provider: LocalProvider, *sessions: dict[str, Any]) -> AsyncGenerator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        async with peer() as agent:
            agent.answers["/skills/add"] = answer(200, {"sum": 13})
            agent.answers["/reasoners/ask"] = answer(200, {"said": "yes"})
            with served(data, patch, agents=(), local_url=provider.url) as server:
                patch.setattr(providers, "adapter_factory", registry.adapter_factory)
                async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
                    custom = {"custom": {"sessions": list(sessions)}}
                    bodies = [
                        registration(agent.url, skills=SKILLS, metadata=custom),
                        registration(
                            agent.url, id="oracle", reasoners=[{"id": "ask"}], skills=[], metadata={}
                        ),
                    ]
                    for body in bodies:
                        registered = await http.post("/api/v1/nodes/register", json=body)
                        assert registered.status_code == 201, registered.text
                        await http.post(f"/api/v1/nodes/{body['id']}/heartbeat", json={"status": "ready"})
                    yield Stage(http, server.url, agent, provider)


@asynccontextmanager
async def called(it: Stage, started: dict[str, Any]) -> AsyncGenerator[Any]:
    """The session with its caller there, by whatever transport it has."""
    if started["transport"] == "webrtc":
        answered = await it.http.post(started["offer_url"], content=OFFER)
        assert answered.status_code == 200, answered.text
        assert answered.text.startswith("v=0")
        yield None
        return
    async with connect(f"ws{it.url[4:]}{started['media_url']}", max_queue=None) as socket:
        assert "ready" in str(await socket.recv())
        yield socket


@pytest.mark.parametrize("transport", ["websocket", "webrtc", "audio_turns"])
async def test_the_model_answers_runs_its_tools_and_all_of_it_is_in_the_workflow(
    tmp_path: Path, af_provider: LocalProvider, transport: str
) -> None:
    async with stage(tmp_path, af_provider, _declared("voice", transport=transport)) as it:
        started = await it.start("worker.voice")
        session_id = started["session_id"]
        assert started["tool_targets"] == {"add": "worker.add", "ask": "oracle.ask"}
        async with called(it, started):
            typed = await it.http.post(
                f"/api/v1/session-instances/{session_id}/input", json={"text": "Please add 4"}
            )
            assert typed.status_code == 202, typed.text
            until = "tool_result_recorded" if transport == "webrtc" else "turn_completed"
            records = await it.kinds(session_id, until=until)
        kinds = [record["kind"] for record in records]
        assert {"turn_started", "tool_intent_recorded", "execution_succeeded", "usage_recorded"} <= set(kinds)
        [asked] = [heard for heard in it.agent.heard if heard.path == "/skills/add"]
        assert (asked.json(), asked.headers["x-session-id"]) == ({"number": 4}, session_id)
        if transport != "webrtc":  # there nobody listens, so nobody says that the answer was heard
            said = [record for record in records if record["kind"] == "response_heard"]
            assert "13" in str(said[-1]["content"])
        dag = (await it.http.get(f"/api/ui/v1/workflows/{started['run_id']}/dag")).json()["dag"]
        [turn] = dag["children"]
        assert turn["execution_id"] == typed.json()["turn_id"]
        assert [child["reasoner_id"] for child in turn["children"]] == ["add"]


async def test_what_was_declared_reaches_the_providers_socket(
    tmp_path: Path, af_provider: LocalProvider
) -> None:
    detection = {"type": "server_vad", "threshold": 0.3, "prefix_padding_ms": 100, "silence_duration_ms": 700}
    declared = _declared("voice", voice="cedar", turn_detection=detection)
    async with stage(tmp_path, af_provider, declared) as it:
        async with called(it, await it.start("worker.voice", metadata={"caller": "Ada"})):
            told = it.configured()
        assert told["instructions"].startswith(INSTRUCTIONS)
        assert '{"team":"desk","caller":"Ada"}' in told["instructions"]
        assert told["output_modalities"] == ["audio"]
        assert told["audio"]["output"]["voice"] == "cedar"
        heard = {"create_response": True, "interrupt_response": True}
        assert told["audio"]["input"]["turn_detection"] == detection | heard
        tools = {tool["name"]: tool for tool in told["tools"]}
        assert (tools["add"]["description"], tools["add"]["parameters"]) == ("Adds nine.", NUMBER)
        assert tools["ask"]["parameters"] == {"type": "object", "properties": {}}


async def test_an_agents_own_instructions_and_text_only_reach_the_provider(
    tmp_path: Path, af_provider: LocalProvider
) -> None:
    declared = _declared(
        "chat", modalities=["text"], metadata={"instructions": "Speak as a pirate."},
        turn_detection={"type": "semantic_vad", "eagerness": "low"},
    )  # fmt: skip
    async with stage(tmp_path, af_provider, declared) as it:
        async with called(it, await it.start("worker.chat")):
            told = it.configured()
        assert (told["instructions"], told["output_modalities"]) == ("Speak as a pirate.", ["text"])
        assert told["audio"]["input"]["turn_detection"]["eagerness"] == "low"


async def test_metadata_that_is_too_much_for_a_model_is_refused(
    tmp_path: Path, af_provider: LocalProvider
) -> None:
    async with stage(tmp_path, af_provider, _declared("voice")) as it:
        answered = await it.http.post(
            "/api/v1/sessions/worker.voice/start", json={"metadata": {"much": "x" * 5_000}}
        )
        assert (answered.status_code, "at most 4000" in answered.json()["error"]) == (400, True)


async def test_what_the_model_heard_it_answers_without_being_asked(
    tmp_path: Path, af_provider: LocalProvider
) -> None:
    async with stage(tmp_path, af_provider, _declared("voice", tools=[])) as it:
        started = await it.start("worker.voice")
        async with called(it, started) as socket:
            for piece in _speech():
                await socket.send(piece)
            records = await it.kinds(started["session_id"], until="turn_completed")
        kinds = [record["kind"] for record in records]
        assert kinds.index("turn_started") < kinds.index("turn_completed")
        [heard] = [record for record in records if record["kind"] == "response_heard"]
        assert heard["data"]["turn_id"] == records[-1]["op_id"]
        assert not af_provider.received("response.create")


def _speech() -> list[bytes]:
    """A second of something loud, and one of nothing: mono int16 PCM at 16 kHz."""
    loud = b"".join(
        (12_000 if at // 40 % 2 else -12_000).to_bytes(2, "little", signed=True) for at in range(16_000)
    )
    whole = loud + bytes(2 * 16_000)
    return [whole[at : at + 640] for at in range(0, len(whole), 640)]
