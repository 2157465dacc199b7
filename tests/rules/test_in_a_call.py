"""Rules in a voice call: before the handler, the live feed, the content store, the tools and the model."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from dataclasses import replace
from typing import Any

import pytest

from agentfield_journal import StoreJournal
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.agent import RealtimeSession
from agentfield_rt.core import records
from agentfield_rt.core.records.rules import ActionKind, Refusal, Repeat
from agentfield_rt.core.rules.history import rules_state
from agentfield_rt.core.rules.repeat import RepeatKey
from agentfield_rt.core.rules.rule import (
    Abort,
    Action,
    Drop,
    Emit,
    Literal,
    Mask,
    Regex,
    Rule,
)
from agentfield_rt.core.rules.syntax import RefusedRule
from agentfield_rt.errors import IllegalCommand
from agentfield_rt.frames import (
    InputRejected,
    InputTranscript,
    ResponseEnded,
    ResponseStatus,
    TextFrame,
    ToolCalled,
)
from agentfield_rt.run import Context, Run
from agentfield_rt.voice.rules import LIVE_MAX, SessionRules
from tests.rules.call import ARGUMENTS, CARD, EVERYWHERE, HEARD, RESULT, SECRET, answers, rule, ruled
from tests.virtual_time import in_virtual_time
from tests.voice.call import Desk

pytestmark = pytest.mark.usefixtures("clean_journals")


@in_virtual_time
async def test_what_is_masked_nobody_sees_and_nothing_keeps() -> None:
    async with ruled(rule(CARD, Mask()), function=answers) as pen:
        await pen.hears(text="my card?")
        await pen.begins()
        await pen.says("it is 4111", "11111111", "1111, right?")
        shown = [event["text"] for event in pen.live if event["type"] == "saying"]
        assert shown == ["it is", "it is [redacted], right?"]
        await pen.ends()
        assert await pen.heard_texts() == ["it is [redacted], right?"]


@in_virtual_time
async def test_what_was_held_is_passed_on_when_the_answer_is_complete() -> None:
    async with ruled(rule(CARD, Mask()), function=answers) as pen:
        await pen.hears(text="a number?")
        await pen.begins()
        await pen.says("it is 411")
        await pen.ends()
        assert await pen.heard_texts() == ["it is 411"]


@in_virtual_time
async def test_the_user_s_words_are_masked_while_they_are_said_and_when_they_are_complete() -> None:
    seen: list[str] = []

    async def notes(session: RealtimeSession) -> None:
        async for turn in session.turns():
            seen.append(turn.text)

    async with ruled(rule(CARD, Mask(), HEARD, repeat=Repeat.ALWAYS), function=notes) as pen:
        await pen.hears("pay with 4111", "111111111111, ", "please", text=f"Pay with {SECRET}, please.")
        assert [event["text"] for event in pen.live if event["type"] == "partial"] == [
            "pay with ",
            "pay with [redacted], ",
            "pay with [redacted], please",
        ]
        assert seen == await pen.turn_texts() == ["Pay with [redacted], please."]
        assert len(await pen.call.of_kind(records.StreamRuleMatched)) == 1, (
            "what is shown early is not counted"
        )


@in_virtual_time
async def test_what_the_user_typed_is_masked_before_the_model_and_the_handler_get_it() -> None:
    async with ruled(rule(CARD, Mask(), HEARD)) as pen:
        await pen.call.session.hear_text(f"pay with {SECRET}")
        assert [frame.text for frame in pen.call.adapter.sent if isinstance(frame, TextFrame)] == [
            "pay with [redacted]"
        ]
        assert await pen.turn_texts() == ["pay with [redacted]"]


@in_virtual_time
async def test_a_typed_turn_of_which_nothing_may_pass_is_refused() -> None:
    async with ruled(rule(CARD, Drop(), HEARD)) as pen:
        with pytest.raises(IllegalCommand, match="a rule"):
            await pen.call.session.hear_text(SECRET)
        assert await pen.turn_texts() == []


@in_virtual_time
async def test_a_tool_gets_masked_arguments_however_they_are_written() -> None:
    desk = Desk(look_up=lambda card: {"found": card})
    async with ruled(rule(CARD, Mask(), ARGUMENTS), desk=desk) as pen:
        hidden = "".join(f"\\u{ord(digit):04x}" for digit in SECRET)
        pen.call.adapter.give(ToolCalled("resp_x", "call_1", "look_up", f'{{"card": "{hidden}"}}'))
        await pen.call.settle()
        assert [dict(request.arguments) for request in desk.requests] == [{"card": "[redacted]"}]
        assert pen.told() == {"call_1": {"found": "[redacted]"}}


@in_virtual_time
@pytest.mark.parametrize("action", [Drop(), Abort()])
async def test_a_tool_call_that_is_stopped_never_runs_and_the_model_learns_it_once(action: Action) -> None:
    desk = Desk(look_up=lambda card: card)
    async with ruled(rule(CARD, action, ARGUMENTS), desk=desk) as pen:
        for _ in range(2):
            await pen.calls(card=SECRET)
        assert desk.requests == []
        assert list(pen.told()) == ["call_1"]
        assert "withholds" in pen.told()["call_1"]["error"]
        assert len(await pen.call.of_kind(records.StreamRuleMatched)) == 1
        assert not await pen.call.of_kind(records.ToolIntentRecorded)


@in_virtual_time
@pytest.mark.parametrize(
    ("action", "told"),
    [
        (Mask(), {"card": "[redacted]"}),
        (Mask('"'), '{"card":"""}'),
        (Drop(), {"error": "a rule of this session withholds it"}),
    ],
)
async def test_the_model_gets_of_a_result_only_what_may_be_seen(action: Action, told: Any) -> None:
    desk = Desk(look_up=lambda: {"card": SECRET})
    async with ruled(rule(CARD, action, RESULT), desk=desk) as pen:
        await pen.calls()
        assert pen.told() == {"call_1": told}


@in_virtual_time
async def test_the_journal_tells_which_rules_held_without_their_words() -> None:
    async with ruled(rule(Literal(SECRET), Mask("[x]"), EVERYWHERE)) as pen:
        (registered,) = await pen.call.of_kind(records.StreamRuleRegistered)
        assert SECRET in await pen.call.text_of(registered.definition_ref)
        assert registered.digest not in (await pen.call.text_of(registered.key_ref), SECRET)


@in_virtual_time
async def test_equal_matches_have_equal_hashes_in_one_run_and_others_in_another() -> None:
    digests: list[set[str]] = []
    for _ in range(2):
        async with ruled(rule(CARD, Mask(), HEARD)) as pen:
            await pen.hears(text=f"{SECRET} {SECRET}")
            digests.append({r.digest for r in await pen.call.of_kind(records.StreamRuleMatched)})
    assert [len(one) for one in digests] == [1, 1]
    assert digests[0] != digests[1]


@in_virtual_time
async def test_each_intervention_is_in_one_batch_with_what_it_may_not_repeat() -> None:
    async with ruled(rule(Literal("a"), Emit("seen"), HEARD, repeat=Repeat.ONCE_PER_RUN)) as pen:
        await pen.hears(text="a a")
        await pen.hears(text="a", item_id="item_2")
        kinds = [record.kind for record in await pen.call.records() if record.kind.startswith("stream_")]
        assert kinds[1:] == [
            "stream_rule_matched",
            "stream_intervention_requested",
            "stream_rule_repeat_state_recorded",
            "stream_intervention_applied",
            "stream_rule_matched",
            "stream_rule_matched",
        ]
        state = rules_state(await pen.call.records())
        assert [key.key for key in state.keys] == ["run"]
        assert list(state.registered) == ["the.rule"]
        assert not state.open


@in_virtual_time
async def test_a_session_whose_rules_cannot_be_held_does_not_start() -> None:
    with pytest.raises(RefusedRule) as refused:
        async with ruled(rule(Regex("(?=a)"), Drop())):
            pass
    assert refused.value.refusal is Refusal.LOOKAROUND


@in_virtual_time
async def test_arguments_that_a_client_gives_are_masked_or_refused() -> None:
    cards, wires = (
        rule(CARD, Mask(), ARGUMENTS),
        Rule(id="wires", matcher=Literal("wire"), action=Drop(), channels=ARGUMENTS),
    )
    async with ruled(cards, wires) as pen:
        rules = pen.call.session.rules
        assert await rules.arguments("call_1", {"card": SECRET}) == {"card": "[redacted]"}
        assert await rules.arguments("call_2", {"a": [1, "b"]}) == {"a": [1, "b"]}
        with pytest.raises(IllegalCommand, match="stops"):
            await rules.arguments("call_3", {"do": "wire"})


@in_virtual_time
async def test_a_session_that_goes_on_after_a_crash_repeats_nothing_and_hashes_as_before() -> None:
    async with ruled(rule(Literal("a"), Emit("seen"), HEARD, repeat=Repeat.ONCE_PER_RUN)) as pen:
        await pen.hears(text="a")
        session = pen.call.session
        left_open = records.StreamInterventionRequested(
            op_id="int_lost", match_id="m", rule_id="the.rule", version=1, action=ActionKind.ABORT
        )
        session._record(left_open)  # pyright: ignore[reportPrivateUsage]
        state = rules_state(await pen.call.records())
        key = (await pen.call.text_of(state.key_ref)).encode()
        again = SessionRules(
            session.spec,
            session._run,  # pyright: ignore[reportPrivateUsage]
            session.rules._reach,  # pyright: ignore[reportPrivateUsage]
            deliver=lambda event: None,
            keep=session._keep,  # pyright: ignore[reportPrivateUsage]
        )
        again.register(session.spec.record(), state, key)
        again.take(InputTranscript("item_2", "a", final=True))
        matched = await pen.call.of_kind(records.StreamRuleMatched)
        assert len({record.digest for record in matched}) == 1
        assert len(matched) == 2
        assert len([event for event in pen.live if event["type"] == "notice"]) == 1
        after = rules_state(await pen.call.records())
        assert (after.open, after.key_ref) == ({}, state.key_ref)
        await again.close()


@in_virtual_time
async def test_once_in_a_run_is_once_in_all_of_its_sessions() -> None:
    async with ruled(rule(Literal("a"), Emit("seen"), HEARD, repeat=Repeat.ONCE_PER_RUN)) as pen:
        await pen.hears(text="a")
        session = pen.call.session
        other = SessionRules(
            replace(session.spec, session_id="sess_other"),
            session._run,  # pyright: ignore[reportPrivateUsage]
            session.rules._reach,  # pyright: ignore[reportPrivateUsage]
            deliver=lambda event: None,
            keep=session._keep,  # pyright: ignore[reportPrivateUsage]
        )
        other.register(None)
        other.take(InputTranscript("item_other", "a", final=True))
        await other.close()
        assert len(await pen.call.of_kind(records.StreamRuleMatched)) == 2
        assert len(await pen.call.of_kind(records.StreamInterventionRequested)) == 1


@in_virtual_time
async def test_whoever_opens_a_run_again_knows_which_rules_intervened_once_in_it() -> None:
    keys = [RepeatKey("rule", 1, Repeat.ONCE_PER_RUN, "run"), RepeatKey("rule", 1, Repeat.ONCE_PER_TURN, "t")]
    journal = StoreJournal(MemoryStore())
    run = await Run.open(journal, "run-1")
    for key in keys:
        told = records.StreamRuleRepeatStateRecorded(
            rule_id=key.rule_id, version=key.version, repeat=key.repeat, key=key.key
        )
        run.append([told], Context(session_id="another session"))
    await run.durable()
    await run.release()
    assert list((await Run.open(journal, "run-1")).intervened_once) == keys[:1]
    await journal.close()


@in_virtual_time
async def test_what_comes_of_an_answer_after_its_end_nobody_sees() -> None:
    async with ruled(rule(CARD, Mask()), function=answers) as pen:
        await pen.hears(text="a number?")
        await pen.begins()
        await pen.says("it is 411")
        pen.call.adapter.give(ResponseEnded("resp_1", ResponseStatus.COMPLETED))
        await pen.says("1111111111111")
        assert [event["text"] for event in pen.live if event["type"] == "saying"] == ["it is", "it is 411"]


@in_virtual_time
async def test_speech_that_was_not_understood_leaves_nothing_of_its_pieces() -> None:
    async with ruled(rule(CARD, Mask(), HEARD)) as pen:
        for item_id in ("item_1", "item_2"):
            pen.call.adapter.give(InputTranscript(item_id, "4111", final=False), InputRejected(item_id))
        await pen.hears("11111111", text="11111111", item_id="item_1")
        shown = [event["text"] for event in pen.live if event["type"] == "partial"]
        assert "[redacted]" not in "".join(shown)


@in_virtual_time
async def test_more_answers_at_once_than_may_be_followed_cost_the_oldest_what_it_held() -> None:
    async with ruled(rule(CARD, Mask())) as pen:
        for number in range(LIVE_MAX + 1):
            await pen.says("411", response_id=f"resp_{number}")
            pen.call.adapter.give(InputTranscript(f"item_{number}", "411", final=False))
        await pen.says("1111111111111", response_id="resp_0")
        assert not await pen.call.of_kind(records.StreamRuleMatched)


@in_virtual_time
async def test_arguments_that_are_no_json_go_no_further_than_without_rules() -> None:
    desk = Desk(look_up=lambda: "found")
    async with ruled(rule(CARD, Mask(), ARGUMENTS), desk=desk) as pen:
        pen.call.adapter.give(ToolCalled("resp_x", "call_1", "look_up", SECRET + "{"))
        await pen.call.settle()
        assert desk.requests == []
        assert "invalid_request" in pen.told()["call_1"]["error"]
