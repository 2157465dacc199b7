"""Tools that the provider's model calls by itself: only the listed ones, each once, each answered."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

import asyncio
from typing import Any

import msgspec
import pytest

from agentfield_rt.agent import RealtimeSession
from agentfield_rt.core import records
from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.frames import ToolCalled, ToolResultFrame
from tests.virtual_time import in_virtual_time
from tests.voice.call import RUN_ID, Desk, VoiceCall, voice_call

TOOLS = {"look_up": "node.look_up"}


def calls(call: VoiceCall, call_id: str, name: str = "look_up", arguments: str = "{}") -> None:
    call.adapter.give(ToolCalled("resp_x", call_id, name, arguments))


def answers(call: VoiceCall) -> dict[str, Any]:
    """What the model was told, by call id."""
    return {
        frame.call_id: msgspec.json.decode(frame.output)
        for frame in call.adapter.sent
        if isinstance(frame, ToolResultFrame)
    }


async def keeps_quiet(session: RealtimeSession) -> None:
    async for _ in session.turns():
        pass


@in_virtual_time
async def test_a_listed_tool_runs_with_its_arguments_and_the_model_gets_the_result() -> None:
    desk = Desk(look_up=lambda order: {"order": order, "state": "sent"})
    async with voice_call(keeps_quiet, tools=TOOLS, desk=desk) as call:
        calls(call, "call_1", arguments='{"order": 7}')
        await call.settle()
        assert answers(call) == {"call_1": {"order": 7, "state": "sent"}}
        intent = (await call.of_kind(records.ToolIntentRecorded))[0]
        assert (intent.op_id, intent.target) == ("call_1", "node.look_up")
        assert [r.reason for r in await call.of_kind(records.ToolResultRecorded)] == [None]


@in_virtual_time
async def test_a_tool_runs_when_its_intent_is_durable() -> None:
    durable: list[str] = []

    async def look_up() -> str:
        durable.extend(envelope.kind for envelope in await call.journal.read(RUN_ID))
        return "found"

    async with voice_call(keeps_quiet, tools=TOOLS, desk=Desk(look_up=look_up)) as call:
        calls(call, "call_1")
        await call.settle()
    assert durable[-1] == "tool_intent_recorded"


@in_virtual_time
async def test_a_tool_that_is_not_listed_never_reaches_the_executor() -> None:
    desk = Desk(secret=lambda: "leaked")
    async with voice_call(keeps_quiet, tools=TOOLS, desk=desk) as call:
        for number, name in enumerate(("secret", "node.secret", "node.look_up", "")):
            calls(call, f"call_{number}", name)
        await call.settle()
        assert desk.requests == []
        assert len(await call.of_kind(records.PolicyDenied)) == 4
        assert all("is not available" in answer["error"] for answer in answers(call).values())


@in_virtual_time
async def test_the_same_call_id_runs_once() -> None:
    desk = Desk(look_up=lambda: "found")
    async with voice_call(keeps_quiet, tools=TOOLS, desk=desk) as call:
        for _ in range(3):
            calls(call, "call_1")
            await call.settle()
        assert len(desk.requests) == 1
        assert len(answers(call)) == 1


@in_virtual_time
@pytest.mark.parametrize("arguments", ["{", "[1]", '"x"', "null", '{"a": ' + "1" * 70_000 + "}"])
async def test_arguments_that_are_no_json_object_fail_the_call_without_running_it(arguments: str) -> None:
    desk = Desk(look_up=lambda: "found")
    async with voice_call(keeps_quiet, tools=TOOLS, desk=desk) as call:
        calls(call, "call_1", arguments=arguments)
        await call.settle()
        assert desk.requests == []
        assert [r.reason for r in await call.of_kind(records.ToolResultRecorded)] == [Reason.INVALID_REQUEST]
        assert "error" in answers(call)["call_1"]


@in_virtual_time
async def test_a_tool_that_fails_or_breaks_is_reported_to_the_model_in_our_words() -> None:
    def breaks() -> None:
        raise RuntimeError("a secret")

    desk = Desk(breaks=breaks)
    async with voice_call(
        keeps_quiet, tools={"gone": "node.gone", "breaks": "node.breaks"}, desk=desk
    ) as call:
        calls(call, "call_1", "gone")
        calls(call, "call_2", "breaks")
        await call.settle()
        reasons = {r.op_id: r.reason for r in await call.of_kind(records.ToolResultRecorded)}
        assert reasons == {"call_1": Reason.NOT_FOUND, "call_2": Reason.INTERNAL}
        assert answers(call) == {
            "call_1": {"error": "node.gone failed: not_found"},
            "call_2": {"error": "node.breaks failed: internal"},
        }


@in_virtual_time
async def test_no_more_than_sixteen_run_at_once_and_the_model_learns_which_did_not() -> None:
    go_on = asyncio.Event()

    async def slow() -> str:
        await go_on.wait()
        return "done"

    desk = Desk(look_up=slow)
    async with voice_call(keeps_quiet, tools=TOOLS, desk=desk) as call:
        for number in range(20):
            calls(call, f"call_{number}")
        await call.settle()
        assert len(desk.requests) == 16
        refused = await call.of_kind(records.ToolResultRecorded)
        assert [record.op_id for record in refused] == [f"call_{number}" for number in range(16, 20)]
        assert {record.reason for record in refused} == {Reason.RATE_LIMITED}
        assert answers(call)["call_19"] == {"error": "node.look_up failed: rate_limited"}
        assert not await call.of_kind(records.PolicyDenied), "what is allowed is not denied"
        go_on.set()
        await call.settle()


@in_virtual_time
async def test_a_tool_that_still_runs_when_the_call_ends_is_recorded_as_cancelled() -> None:
    async def endless() -> None:
        await asyncio.Event().wait()

    desk = Desk(look_up=endless)
    async with voice_call(keeps_quiet, tools=TOOLS, desk=desk) as call:
        calls(call, "call_1")
        await call.settle()
        await call.session.close()
        assert [r.reason for r in await call.of_kind(records.ToolResultRecorded)] == [Reason.CANCELLED]


@in_virtual_time
async def test_a_result_of_which_nobody_knows_whether_it_arrived_does_not_stop_the_call() -> None:
    desk = Desk(look_up=lambda: "found")
    async with voice_call(keeps_quiet, tools=TOOLS, desk=desk) as call:
        held = call.adapter.hold("send")
        calls(call, "call_1")
        await held.wait_reached()
        held.fail(ProviderError("no answer", reason=Reason.TIMEOUT, not_done=False))
        await call.settle()
        assert not call.session.is_over
        await call.session.hear_text("still there?")
        assert len(answers(call)) == 1
