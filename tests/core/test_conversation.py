"""The fold of what was said: order, places, what is forgotten, and what the model still owes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_rt.core import records
from agentfield_rt.core.conversation import SAID_MAX, By, Conversation, Owed, conversation_of, follow
from agentfield_rt.core.records import Record, TurnSource
from agentfield_rt.errors import Reason

SPEECH, TYPED = TurnSource.SPEECH, TurnSource.TEXT


def turn(op_id: str, source: TurnSource = SPEECH, *, understood: bool = True) -> Record:
    ref = f"ref.{op_id}" if understood else None
    return records.TurnStarted(op_id=op_id, source=source, understood=understood, text_ref=ref)


def played(op_id: str, ref: str | None = "ref.all") -> Record:
    return records.UtterancePlayed(op_id=op_id, heard_ref=ref)


def resumed(utterance_id: str, ref: str | None = "ref.part") -> Record:
    return records.UtteranceResumed(utterance_id=utterance_id, heard_ms=100, heard_ref=ref)


def heard(ref: str | None, *, lost: bool, to: str | None = None) -> Record:
    return records.ResponseHeard(response_id="r1", heard_ms=100, heard_ref=ref, lost=lost, turn_id=to)


CALLED = records.ToolCallReceived(call_id="c1", call_ref="ref.call")
ANSWERED = records.ToolCallAnswered(call_id="c1", output_ref="ref.output")
CALLED_IN_R1 = records.ToolCallReceived(call_id="c1", call_ref="ref.call", response_id="r1")
SAYS = records.UtteranceRequested(op_id="u1", text_ref="ref.text")
INJECTED = records.StreamRuleInjectionAppended(
    rule_id="r", version=1, intervention_id="i", frame_id="inj_1", text_ref="ref.injected"
)
RECORDS = [
    turn("t1"), turn("t2", TYPED), turn("t3", understood=False), SAYS, played("u1"), played("u2", None),
    resumed("u1"), resumed("u3", None), heard("ref.own", lost=True), heard(None, lost=False), CALLED,
    ANSWERED, INJECTED, CALLED_IN_R1, heard("ref.own", lost=False, to="t1"), turn("t4"),
    heard("ref.own", lost=True, to="t4"), records.UtteranceFailed(op_id="u1", reason=Reason.TIMEOUT),
]  # fmt: skip


def said(*history: Record) -> list[tuple[By, str]]:
    return [(item.by, item.ref) for item in conversation_of(history).said]


def test_what_was_said_stands_in_its_order() -> None:
    assert said(turn("t1"), CALLED, ANSWERED, played("u1"), INJECTED) == [
        (By.USER, "ref.t1"),
        (By.CALL, "ref.call"),
        (By.OUTPUT, "ref.output"),
        (By.ASSISTANT, "ref.all"),
        (By.USER, "ref.injected"),
    ]


def test_an_utterance_that_broke_off_is_one_item_where_it_began() -> None:
    story = (turn("t1"), resumed("u1"), turn("t2", TYPED), played("u1"))
    assert said(*story) == [(By.USER, "ref.t1"), (By.ASSISTANT, "ref.all"), (By.USER, "ref.t2")]


def test_words_heard_while_a_tool_runs_stand_before_its_call() -> None:
    answered = (By.OUTPUT, "ref.output")
    words_and_call = [(By.ASSISTANT, "ref.own"), (By.CALL, "ref.call")]
    assert said(CALLED_IN_R1, ANSWERED, heard("ref.own", lost=False)) == [*words_and_call, answered]
    assert said(CALLED, ANSWERED, heard("ref.own", lost=False))[-1] == (By.ASSISTANT, "ref.own")


@pytest.mark.parametrize(
    "spoken",
    [
        records.UtterancePlayed(op_id="u1", heard_ref="ref.all", response_id="r1"),
        records.UtteranceInterrupted(op_id="u1", heard_ref="ref.all", heard_ms=10, response_id="r1"),
        records.UtteranceResumed(utterance_id="u1", heard_ref="ref.all", heard_ms=10, response_id="r1"),
    ],
    ids=["played", "interrupted", "resumed"],
)
def test_so_do_the_words_of_a_handler_whose_instructions_had_a_tool_called(spoken: Record) -> None:
    words, call, output = (By.ASSISTANT, "ref.all"), (By.CALL, "ref.call"), (By.OUTPUT, "ref.output")
    assert said(turn("t1"), CALLED_IN_R1, ANSWERED, spoken)[1:] == [words, call, output]
    assert said(turn("t1"), CALLED, ANSWERED, spoken)[1:] == [call, output, words]


def test_an_answer_stands_before_what_the_user_said_while_it_was_heard() -> None:
    own, first, second = (By.ASSISTANT, "ref.own"), (By.USER, "ref.t1"), (By.USER, "ref.t2")
    within = (turn("t1"), turn("t2"), turn("t3"), heard("ref.own", lost=False, to="t1"))
    assert said(*within) == [first, own, second, (By.USER, "ref.t3")]
    assert said(turn("t1"), turn("t2"), heard("ref.own", lost=False, to="t2")) == [first, second, own]
    assert said(turn("t1"), turn("t2"), heard("ref.own", lost=False)) == [first, second, own]


def test_words_that_come_after_their_answer_was_heard_stand_before_it() -> None:
    own = heard("ref.own", lost=False, to="t2")
    assert said(turn("t1"), own, turn("t2")) == [
        (By.USER, "ref.t1"),
        (By.USER, "ref.t2"),
        (By.ASSISTANT, "ref.own"),
    ]


def test_what_nobody_heard_is_no_item_and_takes_none_away() -> None:
    interrupted = records.UtteranceInterrupted(op_id="u1", heard_ref=None, heard_ms=0)
    assert said(interrupted) == []
    assert said(resumed("u1"), interrupted) == [(By.ASSISTANT, "ref.part")]


@pytest.mark.parametrize(
    ("story", "owed"),
    [
        ((turn("t1"),), Owed.TURN),
        ((turn("t1", understood=False),), None),
        ((turn("t1"), turn("t2", TYPED)), None),
        ((turn("t1"), SAYS), None),
        ((turn("t1"), heard("ref.own", lost=False)), None),
        ((turn("t1"), heard("ref.own", lost=True)), Owed.REST),
        ((turn("t1"), heard(None, lost=True)), Owed.TURN),
        ((turn("t1"), CALLED), None),
        ((CALLED, ANSWERED), Owed.OUTPUT),
        ((CALLED, ANSWERED, SAYS), Owed.OUTPUT),
        ((CALLED, ANSWERED, heard(None, lost=False)), None),
        ((CALLED_IN_R1, ANSWERED, heard("ref.own", lost=False)), Owed.OUTPUT),
        ((CALLED_IN_R1, ANSWERED, heard("ref.own", lost=True)), Owed.OUTPUT),
        ((CALLED_IN_R1, heard("ref.own", lost=True)), None),
        ((turn("t1"), turn("t2"), heard("ref.own", lost=False, to="t1")), Owed.TURN),
        ((turn("t1"), turn("t2"), heard("ref.own", lost=True, to="t1")), Owed.TURN),
        ((turn("t1", understood=False), turn("t2"), heard("ref.own", lost=False, to="t1")), Owed.TURN),
        ((turn("t1"), turn("t2"), heard("ref.own", lost=False, to="t2")), None),
        ((turn("t1"), turn("t2"), heard("ref.own", lost=False, to="t3")), None),
        ((heard("ref.own", lost=False, to="t1"), turn("t1")), None),
        ((heard("ref.own", lost=True, to="t1"), turn("t1")), Owed.REST),
        ((heard(None, lost=True, to="t1"), turn("t1")), Owed.TURN),
        ((heard("ref.own", lost=False, to="t1"), turn("t1"), turn("t2")), Owed.TURN),
    ],
    ids=[
        "spoken", "not understood", "typed", "the handler answers", "answered", "broke off", "never begun",
        "a tool runs", "a tool returned", "it did so while somebody spoke", "answered in silence",
        "the caller hears what it was called with", "that broke off", "and the tool runs on",
        "the user spoke while an answer was heard", "that broke off with the connection",
        "to what nobody understood", "the answer to both", "to one whose words will come", "which came late",
        "late, of what broke off", "late, of what was never begun", "late, and more was said",
    ],
)  # fmt: skip
def test_what_the_model_owes(story: tuple[Record, ...], owed: Owed | None) -> None:
    assert conversation_of(story).owed is owed


def test_of_a_long_conversation_the_oldest_is_forgotten_and_counted() -> None:
    conversation = conversation_of(turn(f"t{number}") for number in range(SAID_MAX + 7))
    assert len(conversation.said) == SAID_MAX
    assert conversation.forgotten == 7
    assert conversation.said[0].key == "t7"


@given(st.lists(st.sampled_from(RECORDS)), st.integers(0, 20))
def test_folding_a_part_and_then_the_rest_is_folding_all_of_it(history: list[Record], cut: int) -> None:
    conversation: Conversation = conversation_of(history[:cut])
    for record in history[cut:]:
        conversation = follow(conversation, record)
    assert conversation == conversation_of(history)
    keys = [(item.by, item.key) for item in conversation.said]
    assert len(set(keys)) == len(keys), "something was said twice"
