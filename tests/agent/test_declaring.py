"""Declaring work: bare, with arguments, on a router; what is cancelled, kept and registered."""

import asyncio
import threading
from typing import Any

import pytest
from pydantic import BaseModel

from agentfield_rt import Agent, IllegalCommand, RealtimeError
from agentfield_rt.agent import AgentRouter, ExecutionContext, SessionDefinition
from agentfield_rt.agent.declared import with_declared
from agentfield_rt.agent.registration import registration_of
from agentfield_rt.agent.remote.connection import channel_url
from agentfield_rt.approval_rules import ApprovalRule
from agentfield_rt.plane.nodes.registration import Registration
from agentfield_rt.rules import Channel, Literal, Mask, Rule
from agentfield_rt.voice.recall import STATE_BYTES_MAX, encode_state

PLACE = ExecutionContext("run_1", "exec_1")


class Answer(BaseModel):
    text: str


def test_a_decorator_may_be_bare_or_have_arguments() -> None:
    app = Agent("desk")

    @app.reasoner
    async def bare(number: int) -> int:
        return number

    @app.reasoner()
    async def called() -> None: ...

    @app.reasoner("other", tags=["a"], description="Does it.")
    async def named() -> Answer:
        return Answer(text="x")

    @app.skill
    def sums(a: int) -> list[int]:
        return [a]

    assert list(app.reasoners) == ["bare", "called", "other"]
    assert list(app.skills) == ["sums"]
    assert app.reasoners["other"].output_schema["properties"]["text"] == {"title": "Text", "type": "string"}
    assert app.skills["sums"].output_schema == {"items": {"type": "integer"}, "type": "array"}
    assert app.reasoners["called"].output_schema == {}
    with pytest.raises(ValueError, match="desk has a skill 'sums' already"):
        app.reasoner("sums")(bare)


def test_what_a_router_declares_becomes_part_of_the_agent() -> None:
    router = AgentRouter(prefix="/orders/v2", tags=["orders"])

    @router.reasoner(tags=["read"])
    async def find() -> str:
        return "found"

    @router.skill("plain_name")
    def skill() -> str:
        return "done"

    with pytest.raises(RealtimeError, match=r"app\.include_router\(router\) comes first"):
        _ = router.app
    app = Agent("desk")
    app.include_router(router, prefix="shop", tags=["shop"])
    assert app.reasoners["shop_orders_v2_find"].tags == ("shop", "orders", "read")
    assert list(app.skills) == ["shop_plain_name"]
    assert router.app is app
    with pytest.raises(ValueError, match="desk has a 'shop_orders_v2_find' already"):
        app.include_router(router, prefix="shop")
    with pytest.raises(ValueError, match="part of agent desk already"):
        Agent("other").include_router(router)


@pytest.mark.asyncio
async def test_work_in_a_thread_can_ask_whether_somebody_still_wants_it() -> None:
    app = Agent("desk")
    begun, stopped = threading.Event(), threading.Event()

    @app.skill
    def slow() -> None:
        begun.set()
        while not app.cancelled:
            pass
        stopped.set()

    assert not app.cancelled
    running = asyncio.create_task(app.invoke("slow", {}, PLACE))
    await asyncio.to_thread(begun.wait)
    running.cancel()
    assert await asyncio.to_thread(stopped.wait, 5)


def test_a_note_outside_of_an_execution_harms_nobody() -> None:
    Agent("desk").note("nobody runs", ["x"])


def full() -> Agent:
    """An agent whose session declares all that can be told to a plane elsewhere."""
    app = Agent("desk", description="for tests", tags=["t"])

    async def voice(session: Any) -> None: ...

    app.session(
        "voice",
        provider="local",
        transport="websocket",
        tools=["a", ApprovalRule("b", expires_after_s=5, for_session=False)],
        phrases=["hello"],
        rules={"number": "one"},
        instructions="Be brief.",
        turn_detection={"type": "none"},
        metadata={"title": "x"},
        apology=None,
    )(voice)
    app.watch(
        "voice", Rule(id="r", matcher=Literal("a"), action=Mask("b"), channels=(Channel.ASSISTANT_TEXT,))
    )
    app.record("voice")
    return app


def test_a_session_is_at_a_plane_elsewhere_what_it_was_declared_to_be() -> None:
    app = full()
    body = registration_of(app, instance_id="inst_1")
    (definition,) = Registration.model_validate(body).sessions().values()
    ours = body["metadata"]["custom"]["sessions"][0]["agentfield_rt"]
    there: SessionDefinition = with_declared(definition, ours)
    here = app.sessions["voice"]
    for name in (
        "provider",
        "transport",
        "tools",
        "approvals",
        "stream_rules",
        "tags",
        "apology",
        "recorded",
    ):
        assert getattr(there, name) == getattr(here, name), name
    assert (there.config, dict(there.metadata)) == (here.config, dict(here.metadata))
    assert there.function is None


def test_a_function_that_approves_cannot_be_told_to_a_plane_elsewhere() -> None:
    app = Agent("desk")

    async def always(question: Any) -> None: ...

    async def voice(session: Any) -> None: ...

    rule = ApprovalRule("desk.x", approver=always)
    app.session("voice", provider="local", transport="websocket", tools=[rule])(voice)
    with pytest.raises(RealtimeError, match="leave the approver out and answer over HTTP"):
        registration_of(app, instance_id="inst_1")


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("https://plane.example.com", "wss://plane.example.com/api/v1/nodes/n/channel"),
        ("http://localhost:8080/", "ws://localhost:8080/api/v1/nodes/n/channel"),
        ("localhost:8080", "ws://localhost:8080/api/v1/nodes/n/channel"),
        ("https://host/mounted/here", "wss://host/mounted/here/api/v1/nodes/n/channel"),
    ],
)
def test_a_server_is_named_by_its_http_address(server: str, url: str) -> None:
    assert channel_url(server, "n") == url


@pytest.mark.parametrize("server", ["ftp://host", "https://", "://x"])
def test_what_is_no_address_of_a_server_is_refused(server: str) -> None:
    with pytest.raises(RealtimeError, match="is no address of a server"):
        channel_url(server, "n")


def test_a_state_is_json_and_of_a_bounded_size() -> None:
    assert encode_state({"b": 1, "a": [None, "x"]}) == b'{"a":[null,"x"],"b":1}'
    with pytest.raises(IllegalCommand, match="holds what JSON cannot"):
        encode_state({"x": object()})
    with pytest.raises(IllegalCommand, match="may be kept"):
        encode_state({"x": "y" * STATE_BYTES_MAX})
