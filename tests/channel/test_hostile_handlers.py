"""Handlers of agents that keep to no manners: what they say is heard as far as it is theirs to say."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agentfield_rt.core import records
from agentfield_rt.plane.channel.serving import REQUESTS_MAX
from agentfield_rt.voice.link import Handler, SessionLink
from tests.channel.elsewhere import Elsewhere, elsewhere
from tests.channel.raw import RawAgent, raw_agent
from tests.channel.test_take_over import heard, turns
from tests.virtual_time import in_virtual_time, time_passes
from tests.voice import call as stage
from tests.voice.call import VoiceCall, voice_call


@asynccontextmanager
async def handled(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[tuple[Elsewhere, RawAgent, VoiceCall, str]]:
    """A call whose handler has begun at an agent, and the handler's id."""
    async with elsewhere(lease_s=100) as there, raw_agent(there.fleet) as agent:

        async def handle(link: SessionLink) -> None:
            await there.run(link)

        def handler_of(_: object) -> Handler:
            return handle

        monkeypatch.setattr(stage, "handler_of", handler_of)
        async with voice_call(None, beside_others=True) as call:
            begun = await agent.message("begin_handler")
            yield there, agent, call, begun["handler_id"]


async def given(agent: RawAgent, call: VoiceCall, handler_id: str) -> dict[str, Any]:
    """The handler asks for a turn, and the user says something."""
    await agent.say("input", handler_id=handler_id, request_id="req_input")
    await call.user_says("hello")
    return await agent.message("turn_given")


@in_virtual_time
async def test_a_turn_that_is_answered_twice_is_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async with handled(monkeypatch) as (_, agent, call, handler_id):
        await given(agent, call, handler_id)
        for utterance_id in ("u1", "u2"):
            await agent.say("say", handler_id=handler_id, utterance_id=utterance_id, text=utterance_id)
        await agent.say("cancel_request", handler_id=handler_id, request_id="req_input")
        await agent.say("input", handler_id=handler_id, request_id="req_2")
        await time_passes(2)
        assert await heard(call) == ["u1", "u2"]
        assert len(await turns(call, records.TurnCompleted)) == 1


@in_virtual_time
async def test_nobody_answers_a_turn_of_another_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    async with handled(monkeypatch) as (there, agent, call, handler_id):
        await given(agent, call, handler_id)
        async with raw_agent(there.fleet, "inst_2") as other:
            await other.say("say", handler_id=handler_id, utterance_id="u1", text="forged")
            await other.say("keep_state", handler_id=handler_id, state={"forged": True})
            await other.say("handler_ended", handler_id=handler_id)
            await time_passes(2)
            await agent.say("say", handler_id=handler_id, utterance_id="u1", text="mine")
            await time_passes(2)
        assert await heard(call) == ["mine"]
        assert call.session.recall.state == {}


@in_virtual_time
async def test_a_run_that_has_ended_says_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with handled(monkeypatch) as (_, agent, call, handler_id):
        await given(agent, call, handler_id)
        await agent.say("handler_ended", handler_id=handler_id)
        await agent.say("say", handler_id=handler_id, utterance_id="u1", text="too late")
        await time_passes(2)
        assert await heard(call) == []
        assert len(await turns(call, records.TurnCompleted)) == 1


@in_virtual_time
async def test_a_handler_that_asks_without_end_is_told_that_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    async with handled(monkeypatch) as (_, agent, call, handler_id):
        for _ in range(10):  # one and the same
            await agent.say("input", handler_id=handler_id, request_id="req_0")
        for number in range(1, REQUESTS_MAX + 1):
            await agent.say("input", handler_id=handler_id, request_id=f"req_{number}")
        refused = await agent.message("reply")
        assert (refused["request_id"], refused["failure"]["fault"]) == (f"req_{REQUESTS_MAX}", "overflow")
        await call.user_says("hello")
        assert (await agent.message("turn_given"))["turn"]["text"] == "hello"


@in_virtual_time
async def test_state_that_is_too_large_ends_the_run_and_not_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async with handled(monkeypatch) as (_, agent, call, handler_id):
        await given(agent, call, handler_id)
        await agent.say("keep_state", handler_id=handler_id, state={"x": "x" * 70_000})
        assert (await agent.message("cancel_handler"))["handler_id"] == handler_id
        await call.user_says("again")
        assert (await agent.message("begin_handler"))["state"] == {}
        assert len(await turns(call, records.TurnFailed)) == 1
