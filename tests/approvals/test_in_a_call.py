"""Approvals and deliveries within whole calls: what the model is told, and what the end of a call leaves."""

import asyncio
from typing import Any

import msgspec
import pytest

from agentfield_rt.agent import RealtimeSession
from agentfield_rt.approvals import ApprovalDecision, ApprovalRule, Question
from agentfield_rt.core import records
from agentfield_rt.deliveries import (
    CallableSink,
    DeliveryOutcome,
    DeliveryStatus,
    Destination,
    Output,
    Parcel,
)
from agentfield_rt.frames import ToolCalled, ToolResultFrame
from tests.virtual_time import in_virtual_time, time_passes
from tests.voice.call import Desk, VoiceCall, voice_call

pytestmark = pytest.mark.usefixtures("clean_journals")

TOOLS = {"refund": "node.refund"}


def refund(amount: int) -> str:
    return f"refunded {amount}"


def desk() -> Desk:
    return Desk(refund=refund)


def calls(call: VoiceCall, call_id: str, arguments: str = '{"amount": 7}') -> None:
    call.adapter.give(ToolCalled("resp_x", call_id, "refund", arguments))


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
async def test_an_approved_tool_runs_with_what_was_approved_and_its_intent_names_the_approval() -> None:
    asked: list[Question] = []

    async def approver(question: Question) -> ApprovalDecision:
        asked.append(question)
        return ApprovalDecision.APPROVED

    rule = ApprovalRule("node.refund", approver=approver)
    async with voice_call(keeps_quiet, tools=TOOLS, approvals=[rule], desk=desk()) as call:
        calls(call, "call_1", '{"amount": 7, "amount": 9}')
        await call.settle()
        assert answers(call) == {"call_1": "refunded 9"}
        assert [question.detail for question in asked] == ['{"amount":9}']
        (started,) = await call.of_kind(records.SessionStarted)
        assert started.approvals == ("node.refund",)
        (requested,) = await call.of_kind(records.ApprovalRequested)
        (intent,) = await call.of_kind(records.ToolIntentRecorded)
        assert intent.approval_op_id == requested.op_id
        assert requested.subject_op_id == intent.op_id == "call_1"


@in_virtual_time
async def test_the_model_is_told_that_a_tool_was_not_approved_and_no_intent_is_written() -> None:
    async with voice_call(
        keeps_quiet, tools=TOOLS, approvals=[ApprovalRule("node.refund", expires_after_s=5)], desk=desk()
    ) as call:
        calls(call, "call_1")
        calls(call, "call_2")
        await call.settle()
        first, _ = call.session.approvals.pending
        await call.session.approvals.decide(first.approval_id, ApprovalDecision.DENIED)
        await time_passes(6)
        await call.settle()
        assert answers(call) == {
            "call_1": {"error": "node.refund was not approved: denied"},
            "call_2": {"error": "node.refund was not approved: expired"},
        }
        assert call.desk.requests == []
        assert await call.of_kind(records.ToolIntentRecorded) == []


@in_virtual_time
async def test_arguments_that_are_no_json_object_are_refused_before_anybody_is_asked() -> None:
    async with voice_call(
        keeps_quiet, tools=TOOLS, approvals=[ApprovalRule("node.refund")], desk=desk()
    ) as call:
        calls(call, "call_1", "[1]")
        await call.settle()
        assert answers(call) == {"call_1": {"error": "node.refund failed: invalid_request"}}
        assert await call.of_kind(records.ApprovalRequested) == []


@in_virtual_time
async def test_the_end_of_the_call_takes_its_questions_back() -> None:
    async with voice_call(
        keeps_quiet, tools=TOOLS, approvals=[ApprovalRule("node.refund")], desk=desk()
    ) as call:
        calls(call, "call_1")
        await call.settle()
        await call.session.close()
        assert len(await call.of_kind(records.ApprovalCancelled)) == 1
        assert call.desk.requests == []


@in_virtual_time
async def test_a_handler_delivers_what_a_turn_came_to() -> None:
    parcels: list[Parcel] = []
    outcomes: list[DeliveryOutcome] = []

    async def take(parcel: Parcel) -> None:
        parcels.append(parcel)

    async def delivers(session: RealtimeSession) -> None:
        async for turn in session.turns():
            output = Output(source_id=turn.id, body=turn.text.encode())
            for _ in range(2):
                outcomes.append(
                    await session.deliver(output, Destination("crm", "case-42"), CallableSink("crm", take))
                )

    async with voice_call(delivers) as call:
        await call.user_says("please send it")
        assert [outcome.status for outcome in outcomes] == [DeliveryStatus.COMPLETED, DeliveryStatus.DEDUPED]
        assert [parcel.body for parcel in parcels] == [b"please send it"]


@in_virtual_time
async def test_what_is_on_its_way_when_the_call_ends_is_in_doubt() -> None:
    async def hangs(parcel: Parcel) -> None:
        await asyncio.Event().wait()

    async def delivers(session: RealtimeSession) -> None:
        async for turn in session.turns():
            output = Output(source_id=turn.id, body=b"{}")
            await session.deliver(output, Destination("crm", "case-42"), CallableSink("crm", hangs))

    async with voice_call(delivers) as call:
        await call.user_says("please send it")
        await call.session.close()
        assert len(await call.of_kind(records.OutputDispatchReconciliationNeeded)) == 1
