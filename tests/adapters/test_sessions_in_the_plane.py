"""Every pair of provider and transport as a session of a plane: a turn, a tool, a sentence, the end."""

import asyncio
import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentfield_adapters.local.pytest_plugin import af_provider, af_provider_process
from agentfield_adapters.local.running import LocalProvider
from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.plane import providers
from agentfield_rt.registry import adapter_factory
from tests.adapters.caller import SilentCaller
from tests.plane.serving import Served, served

__all__ = ["af_provider", "af_provider_process"]  # also in an environment older than the plugin

PAIRS = [
    ("local", "websocket"),
    ("local", "webrtc"),
    ("local", "audio_turns"),
    ("openai", "websocket"),
    ("openai", "webrtc"),
    ("openrouter", "audio_turns"),
]

LAST = {"turn_completed", "execution_succeeded"}
"""In either order."""


def shop(provider: str, transport: str) -> Agent:
    """Lets the model answer each turn, and asks whether there is more."""
    app = Agent("shop")

    @app.reasoner()
    async def look_up(query: str = "") -> str:
        return "three euros"

    async def answers(session: RealtimeSession) -> None:
        async for _ in session.turns():
            await session.reply("Answer briefly.")
            await session.say("Anything else?")

    app.session("desk", provider=provider, transport=transport, tools=["shop.look_up"])(answers)
    return app


@contextmanager
def plane(
    data: Path, patch: pytest.MonkeyPatch, provider: LocalProvider, pair: tuple[str, str]
) -> Generator[Served]:
    settings: dict[str, Any] = {
        "local_url": f"{provider.url}/with/name=call",
        "openai_api_key": "any",
        "openai_base_url": provider.base_url(name="call"),
        "openrouter_api_key": "any",
        "openrouter_base_url": provider.base_url(name="call"),
    }
    with served(data, patch, agents=[shop(*pair)], **settings) as server:
        patch.setattr(providers, "adapter_factory", adapter_factory)
        yield server


def outputs(provider: LocalProvider) -> list[str]:
    """What tools returned to the model, once for each time it was told."""
    told: list[str] = []
    for event in provider.received(setup="call"):
        items = [event["item"]] if "item" in event else event.get("messages", ())
        told += [item["output"] for item in items if item.get("type") == "function_call_output"]
        told += [item["content"] for item in items if item.get("role") == "tool"]
    return told


@pytest.mark.asyncio
@pytest.mark.parametrize("pair", PAIRS, ids="/".join)
async def test_a_session_is_started_answered_told_by_a_tool_spoken_to_and_closed(
    pair: tuple[str, str], af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plane(tmp_path, monkeypatch, af_provider, pair) as server:
        caller = SilentCaller()
        session_id = await asyncio.to_thread(server.start, "shop.desk")
        path = f"/api/v1/session-instances/{session_id}"
        if pair[1] == "webrtc":
            offer = await caller.offer()
            answer = await asyncio.to_thread(server.client.post, f"{path}/realtime-offer", content=offer)
            await caller.accept(answer.text)
        kinds = await asyncio.to_thread(talk, server, path, session_id, af_provider)
        closed = await asyncio.to_thread(server.post, f"{path}/close")
        await caller.hang_up()
        verified = await asyncio.to_thread(server.get, f"{path}/verify")
    assert kinds.count("execution_succeeded") == 1
    assert kinds.count("utterance_played") == 2
    assert outputs(af_provider) == ['"three euros"']
    assert (closed.status_code, verified.json()["ok"]) == (200, True)


def talk(server: Served, path: str, session_id: str, provider: LocalProvider) -> list[str]:
    """Type a turn; what is journaled until both sentences were heard and the tool's result is told."""
    kinds: list[str] = []
    with server.events(session_id) as events:
        server.post(f"{path}/input", {"text": "please look up Coffee"})
        for event, _, data in events:
            kinds += [json.loads(data)["kind"]] if event == "record" else []
            if kinds.count("utterance_played") == 2 and LAST <= set(kinds) and outputs(provider):
                break
    return kinds
