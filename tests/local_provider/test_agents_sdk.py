"""The vendor's agents SDK has a session with the provider and finds nothing wrong (`make judges`).

It wants an older `websockets` than the newest that the adapters take, so it has an environment of its own.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentfield_adapters.local.running import LocalProvider

agents: Any = pytest.importorskip("agents", reason="not in this environment; `make judges` has it")
realtime: Any = pytest.importorskip("agents.realtime")
MODEL = "gpt-realtime"


def session_at(provider: LocalProvider) -> Any:
    """A session of the SDK, with a tool."""

    def look_up(drink: str) -> str:
        """Find a price."""
        return f"{drink} is three euros"

    agents.set_tracing_disabled(True)
    agent = realtime.RealtimeAgent(
        name="desk", instructions="Be brief.", tools=[agents.function_tool(look_up)]
    )
    settings = {"model_name": MODEL, "voice": "marin"}
    runner = realtime.RealtimeRunner(agent, config={"model_settings": settings, "async_tool_calls": False})
    url = f"{provider.base_url().replace('http', 'ws', 1)}/realtime?model={MODEL}"
    return runner.run(
        model_config={"api_key": "any", "url": url, "initial_model_settings": {"model_name": MODEL}}
    )


async def until(session: Any, last: str) -> list[Any]:
    """The SDK's events up to one of a kind; an error of any sort fails."""
    seen: list[Any] = []
    async with asyncio.timeout(20):
        async for event in session:
            seen.append(event)
            assert event.type != "error", event.error
            # The SDK parses each event strictly and reports what it cannot parse.
            assert getattr(getattr(event, "data", None), "type", "") not in ("error", "exception"), event
            if event.type == last:
                return seen
    raise AssertionError(f"the session ended before {last}")


@pytest.mark.asyncio
async def test_a_typed_turn_calls_a_tool_and_its_result_is_spoken(af_provider: LocalProvider) -> None:
    async with await session_at(af_provider) as session:
        await session.send_message("please look up Coffee")
        kinds = [event.type for event in await until(session, "audio_end")]
    assert {"agent_start", "tool_start", "tool_end", "audio", "history_added"} <= set(kinds)
    outputs = [
        event["item"]["output"]
        for event in af_provider.received("conversation.item.create")
        if event["item"]["type"] == "function_call_output"
    ]
    assert outputs == ["Coffee is three euros"]
    assert af_provider.log(what="sent", type="error") == []


@pytest.mark.asyncio
async def test_an_answer_is_interrupted_and_the_conversation_is_cut_to_what_was_heard(
    af_provider: LocalProvider,
) -> None:
    af_provider.set_scenario(
        "senses: synthetic\npace: 5\nturns: [{say: one two three four five six seven}]\n"
    )
    async with await session_at(af_provider) as session:
        await session.send_message("Hello")
        await until(session, "audio")
        await session.interrupt()
        await until(session, "audio_interrupted")
        await session.send_message("Say exactly: Sorry.")
        await until(session, "audio_end")
    assert len(af_provider.received("conversation.item.truncate")) == 1
    assert af_provider.log(what="sent", type="error") == []
