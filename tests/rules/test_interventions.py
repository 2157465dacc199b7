"""What rules do in a voice call: stop, ask again, wait for somebody, add, tell; each recorded and closed."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

import asyncio

import pytest

from agentfield_rt.agent import RealtimeSession
from agentfield_rt.core import records
from agentfield_rt.core.records import ApprovalDecision
from agentfield_rt.core.rules.rule import (
    Abort,
    AbortAndRetry,
    Drop,
    Emit,
    Inject,
    Literal,
    Marker,
    PauseForApproval,
    Regex,
)
from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.frames import (
    Notice,
    SpeechFrame,
    TextFrame,
)
from agentfield_rt.voice.interventions import AT_ONCE_MAX
from tests.rules.call import (
    ARGUMENTS,
    CARD,
    HEARD,
    RESULT,
    SECRET,
    answers,
    rule,
    ruled,
)
from tests.virtual_time import in_virtual_time, time_passes
from tests.voice.call import Desk


@in_virtual_time
async def test_an_abort_stops_what_is_being_said_and_passes_on_nothing_more() -> None:
    async with ruled(rule(Literal("guarantee"), Abort()), function=answers) as pen:
        await pen.hears(text="is it safe?")
        await pen.begins()
        await pen.says("I can guar", "antee", " that")
        assert [call.method for call in pen.call.adapter.calls].count("interrupt") == 1
        await pen.call.playback_ends(cleared=True)
        assert [event["text"] for event in pen.live if event["type"] == "saying"] == ["I can"]
        assert [type(outcome) for outcome in await pen.outcomes()] == [records.StreamInterventionApplied]


@in_virtual_time
async def test_what_the_user_says_can_stop_the_agent_too() -> None:
    async with ruled(rule(Literal("stop", ignore_case=True), Abort(), HEARD), function=answers) as pen:
        await pen.hears(text="tell me")
        await pen.begins()
        await pen.hears(text="Please STOP now", item_id="item_2")
        assert [call.method for call in pen.call.adapter.calls].count("interrupt") == 1
        assert await pen.turn_texts() == ["tell me", "Please"]


@in_virtual_time
async def test_an_answer_is_asked_for_again_as_often_as_it_says() -> None:
    retry = AbortAndRetry("promise nothing", attempts_max=2)
    async with ruled(rule(Literal("guarantee"), retry), function=answers) as pen:
        await pen.hears(text="is it safe?")
        for attempt in range(1, 5):
            asked = [frame for frame in pen.call.adapter.sent if isinstance(frame, SpeechFrame)]
            if len(asked) < attempt:
                break
            response_id = f"resp_{attempt}"
            await pen.begins(response_id)
            await pen.says("I guarantee", response_id=response_id)
            await pen.call.playback_ends(cleared=True)
            await time_passes(5)
            await pen.call.settle()
        asked = [frame for frame in pen.call.adapter.sent if isinstance(frame, SpeechFrame)]
        assert [frame.instructions for frame in asked] == [
            "answer briefly",
            "answer briefly\npromise nothing",
            "answer briefly\npromise nothing\npromise nothing",
        ]
        assert [getattr(outcome, "reason", None) for outcome in await pen.outcomes()] == [
            None,
            None,
            Reason.NOT_ALLOWED,
        ]


@in_virtual_time
async def test_speech_that_was_given_word_for_word_is_stopped_and_not_asked_again() -> None:
    async def speaks(session: RealtimeSession) -> None:
        async for _ in session.turns():
            session.say("I guarantee it")

    async with ruled(rule(Literal("guarantee"), AbortAndRetry()), function=speaks) as pen:
        await pen.hears(text="is it safe?")
        await pen.begins()
        await pen.says("I guarantee it")
        await time_passes(5)
        assert len([frame for frame in pen.call.adapter.sent if isinstance(frame, SpeechFrame)]) == 1
        assert [
            outcome.reason
            for outcome in await pen.outcomes()
            if isinstance(outcome, records.StreamInterventionFailed)
        ] == [Reason.INVALID_REQUEST]


@in_virtual_time
@pytest.mark.parametrize("approved", [True, False])
async def test_a_tool_call_waits_until_somebody_has_decided(approved: bool) -> None:
    desk = Desk(look_up=lambda amount: amount)
    async with ruled(rule(Regex(r"\d{5,}"), PauseForApproval(), ARGUMENTS), desk=desk) as pen:
        await pen.calls(amount=123456)
        assert desk.requests == []
        (question,) = pen.call.session.approvals.pending
        assert (question.target, question.detail) == ("the.rule", "123456}")
        decision = ApprovalDecision.APPROVED if approved else ApprovalDecision.DENIED
        await pen.call.session.approvals.decide(question.approval_id, decision)
        await pen.call.settle()
        assert len(desk.requests) == approved
        assert (pen.told()["call_1"] == 123456) is approved
        assert [
            o.approved for o in await pen.outcomes() if isinstance(o, records.StreamInterventionApplied)
        ] == [approved]


@in_virtual_time
async def test_a_turn_reaches_the_handler_when_it_is_approved() -> None:
    async with ruled(rule(Literal("wire"), PauseForApproval(), HEARD)) as pen:
        await pen.hears(text="please wire it")
        assert await pen.turn_texts() == []
        (question,) = pen.call.session.approvals.pending
        await pen.call.session.approvals.decide(question.approval_id, ApprovalDecision.APPROVED)
        await pen.call.settle()
        assert await pen.turn_texts() == ["please wire it"]


@in_virtual_time
async def test_words_of_the_agent_are_shown_when_they_are_approved_and_without_an_answer_never() -> None:
    once = rule(Literal("wire"), PauseForApproval(expires_after_s=5))
    async with ruled(once, function=answers) as pen:
        await pen.hears(text="do it")
        await pen.begins()
        await pen.says("I wire it", " and wire more")
        (question,) = pen.call.session.approvals.pending
        await pen.call.session.approvals.decide(question.approval_id, ApprovalDecision.APPROVED)
        await pen.call.settle()
        await time_passes(6)
        await pen.call.settle()
        assert [event["text"] for event in pen.live if event["type"] == "saying"] == ["I", "I wire it and"]
        assert [
            o.approved for o in await pen.outcomes() if isinstance(o, records.StreamInterventionApplied)
        ] == [
            True,
            False,
        ]


@in_virtual_time
async def test_whoever_waits_for_a_decision_learns_that_the_session_is_over() -> None:
    desk = Desk(look_up=lambda: "wire")
    paused = rule(Literal("wire"), PauseForApproval(), HEARD + RESULT)
    async with ruled(paused, desk=desk) as pen:
        typing = asyncio.create_task(pen.call.session.hear_text("wire it"))
        await pen.calls()
        await pen.call.session.close()
        with pytest.raises(Exception, match="over"):
            await typing
        assert [
            o.reason for o in await pen.outcomes() if isinstance(o, records.StreamInterventionFailed)
        ] == [
            Reason.CANCELLED,
            Reason.CANCELLED,
        ]


@in_virtual_time
async def test_an_injected_text_becomes_part_of_the_conversation_and_its_record() -> None:
    async with ruled(rule(Literal("refund"), Inject("Refunds take 5 days."), HEARD)) as pen:
        await pen.hears(text="a refund")
        sent = [frame for frame in pen.call.adapter.sent if isinstance(frame, TextFrame)]
        assert [frame.text for frame in sent] == ["Refunds take 5 days."]
        (appended,) = await pen.call.of_kind(records.StreamRuleInjectionAppended)
        assert await pen.call.text_of(appended.text_ref) == "Refunds take 5 days."
        assert appended.frame_id == sent[0].frame_id


@in_virtual_time
async def test_an_injection_that_the_provider_refuses_failed_with_its_reason() -> None:
    async with ruled(rule(Literal("refund"), Inject("five days"), HEARD)) as pen:
        held = pen.call.adapter.hold("send")
        await pen.hears(text="a refund")
        await held.wait_reached()
        held.fail(ProviderError("no", reason=Reason.RATE_LIMITED))
        await pen.call.settle()
        assert [getattr(outcome, "reason", None) for outcome in await pen.outcomes()] == [Reason.RATE_LIMITED]


@in_virtual_time
async def test_a_notice_names_the_rule_and_no_content() -> None:
    async with ruled(rule(Literal("refund"), Emit("refund-asked"), HEARD)) as pen:
        await pen.hears(text="a refund")
        assert [event for event in pen.live if event["type"] == "notice"] == [
            {
                "type": "notice",
                "notice": "refund-asked",
                "rule_id": "the.rule",
                "channel": "realtime_transcript",
                "message_id": "item_user",
            }
        ]


@in_virtual_time
async def test_an_event_of_the_provider_is_a_marker_in_what_is_being_said() -> None:
    async with ruled(rule(Marker("response.refusal"), Abort()), function=answers) as pen:
        await pen.hears(text="do it")
        await pen.begins()
        await pen.says("I can")
        pen.call.adapter.give(Notice("response.other"), Notice("response.refusal"))
        await pen.says("not")
        assert [call.method for call in pen.call.adapter.calls].count("interrupt") == 1
        assert [event["text"] for event in pen.live if event["type"] == "saying"] == ["I can"]


@in_virtual_time
async def test_one_intervention_too_many_fails_and_its_text_is_kept_back() -> None:
    paused = rule(Literal("wire"), PauseForApproval(), HEARD)
    async with ruled(paused) as pen:
        for number in range(AT_ONCE_MAX + 1):
            await pen.hears(text=f"{number} wire it", item_id=f"item_{number}")
        assert [getattr(outcome, "reason", None) for outcome in await pen.outcomes()] == [Reason.RATE_LIMITED]
        assert await pen.turn_texts() == [f"{AT_ONCE_MAX}"], "it ends before the match, at once"


@in_virtual_time
async def test_a_stopped_call_of_which_the_model_cannot_learn_does_not_stop_the_session() -> None:
    async with ruled(rule(CARD, Drop(), ARGUMENTS)) as pen:
        held = pen.call.adapter.hold("send")
        await pen.calls(card=SECRET)
        await held.wait_reached()
        held.fail(ProviderError("no", reason=Reason.UNAVAILABLE))
        await pen.call.settle()
        assert not pen.call.session.is_over
