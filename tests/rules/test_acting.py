"""What a rule does once it has matched, how often, and what is left of it after a crash."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_rt.core import records
from agentfield_rt.core.records import RECORD_TYPES, Record
from agentfield_rt.core.records.rules import ActionKind, Channel, Repeat, Scope
from agentfield_rt.core.rules.history import closing, rules_state
from agentfield_rt.core.rules.repeat import KEYS_MAX, RepeatKey, RepeatKeys
from agentfield_rt.core.rules.rule import (
    Abort,
    Action,
    Drop,
    Emit,
    Literal,
    Marker,
    Mask,
    Message,
    PauseForApproval,
    Rule,
)
from agentfield_rt.core.rules.ruleset import compile_rules
from agentfield_rt.core.rules.stream import (
    PAUSED_CHARS_MAX,
    Finding,
    RuleStream,
    StreamSnapshot,
    StreamStatus,
)
from agentfield_rt.errors import Reason
from tests.rules.texts import one, run, stream

ANOTHER_TURN = Message(run_id="run_1", message_id="item_2", session_id="sess_1", turn_id="turn_2")


def whole(message: RuleStream, text: str) -> list[Finding]:
    return [*message.feed(text).findings, *message.finish().findings]


@pytest.mark.parametrize("action", [Drop(), Abort()])
@pytest.mark.parametrize("pieces", [["a bad b bad c"], list("a bad b bad c")])
def test_nothing_is_passed_on_from_the_match_on(action: Action, pieces: list[str]) -> None:
    text, findings = run(one(Literal("bad"), action), pieces)
    assert text == "a "
    assert len(findings) == 1, "what comes after it nobody sees, so it is not reported"


def test_a_rule_that_only_watches_holds_nothing_back() -> None:
    message = stream(one(Literal("secret"), Emit("seen")))
    assert message.feed("a sec").text == "a sec"
    passed = message.feed("ret")
    assert (passed.text, [f.start_chars for f in passed.findings]) == ("ret", [2])


@pytest.mark.parametrize("approved", [True, False])
@pytest.mark.parametrize("is_over", [True, False])
def test_a_pause_holds_the_match_and_all_after_it_until_somebody_decides(
    approved: bool, is_over: bool
) -> None:
    message = stream(one(Literal("wire"), PauseForApproval()))
    assert [message.feed(piece).text for piece in ("to wi", "re money", " and wire")] == ["to ", "", ""]
    assert message.status is StreamStatus.PAUSED
    if is_over:
        assert message.finish().text == ""
    passed = message.decide(approved=approved)
    if not approved:
        assert (passed.text, passed.findings, message.status) == ("", (), StreamStatus.STOPPED)
        return
    assert passed.text == "wire money and "
    assert message.status is StreamStatus.PAUSED, "the next one is another question"
    assert [f.start_chars for f in passed.findings] == [18]
    assert message.decide(approved=True).text + message.finish().text == "wire"


def test_a_message_that_grows_too_long_while_it_is_paused_ends_there() -> None:
    message = stream(one(Literal("wire"), PauseForApproval()))
    message.feed("to wire")
    message.feed("x" * (PAUSED_CHARS_MAX + 1))
    assert message.status is StreamStatus.STOPPED
    assert message.decide(approved=True).text == ""
    assert message.held == ""
    assert len(message.snapshot().text) <= 1


def test_a_marker_is_met_by_its_name_and_version_between_the_text_around_it() -> None:
    message = stream(one(Marker("refusal", 2), Abort()))
    text = message.feed("before").text
    for version in (1, 3):
        assert message.mark("refusal", version).findings == ()
    found = message.mark("refusal", 2).findings
    assert [(f.start_chars, f.length_chars) for f in found] == [(6, 0)]
    assert text + message.feed("after").text + message.finish().text == "before"


REPEATED = [
    (Repeat.ALWAYS, [True, True, True, True]),
    (Repeat.ONCE_PER_RUN, [True, False, False, False]),
    (Repeat.ONCE_PER_TURN, [True, False, True, False]),
    (Repeat.ONCE_PER_ATTEMPT_AND_SPAN, [True, True, True, True]),
]


@pytest.mark.parametrize(("repeat", "intervenes"), REPEATED)
def test_a_rule_intervenes_as_often_as_it_says(repeat: Repeat, intervenes: list[bool]) -> None:
    rules, repeats = one(Literal("x"), Emit("seen"), repeat=repeat), RepeatKeys()
    findings = whole(stream(rules, repeats=repeats), "x x")
    findings += whole(stream(rules, repeats=repeats, message=ANOTHER_TURN), "x x")
    assert [f.intervenes for f in findings] == intervenes
    assert len({f.match_id for f in findings}) == 4


@pytest.mark.parametrize("repeat", [Repeat.ONCE_PER_RUN, Repeat.ONCE_PER_TURN])
def test_what_may_stop_a_message_only_once_lets_the_next_one_pass(repeat: Repeat) -> None:
    rules, repeats = one(Literal("bad"), Abort(), repeat=repeat), RepeatKeys()
    first, second = (stream(rules, repeats=repeats) for _ in range(2))
    assert first.feed("a bad x").text == "a "
    assert second.feed("a bad x").text == "a bad x"


@pytest.mark.parametrize("action", [Mask("[#]"), Abort(), PauseForApproval()])
def test_a_message_gone_through_again_is_reported_once_and_kept_from_others_again(action: Action) -> None:
    rules, repeats = one(Literal("bad"), action), RepeatKeys()
    first, again = (stream(rules, repeats=repeats) for _ in range(2))
    passed = first.feed("a bad")
    assert len(passed.findings) == 1
    repeated = again.feed("a bad")
    assert (repeated.text, repeated.findings) == (passed.text, ())
    assert again.status is not StreamStatus.PAUSED, "nobody would be asked"


def test_no_more_than_so_many_keys_are_remembered_for_a_rule() -> None:
    keys = [RepeatKey("rule", 1, Repeat.ONCE_PER_TURN, f"turn/{n}") for n in range(KEYS_MAX + 5)]
    repeats = RepeatKeys(keys)
    assert repeats.all() == tuple(keys[5:])


@pytest.mark.parametrize(
    ("scope", "watched"),
    [
        (Scope.RUN, [True, True, True, True]),
        (Scope.REALTIME_SESSION, [False, True, True, True]),
        (Scope.TURN, [False, False, True, False]),
        (Scope.ATTEMPT, [False, False, False, True]),
    ],
)
def test_a_rule_watches_only_messages_of_its_scope(scope: Scope, watched: list[bool]) -> None:
    rules = one(Literal("x"), scope=scope)
    messages = [
        Message(run_id="run", message_id="m"),
        Message(run_id="run", message_id="m", session_id="s"),
        Message(run_id="run", message_id="m", session_id="s", turn_id="t"),
        Message(run_id="run", message_id="m", session_id="s", attempt_id="a"),
    ]
    assert [bool(whole(stream(rules, message=message), "x")) for message in messages] == watched


def test_a_rule_watches_only_its_channels() -> None:
    rules = one(Literal("x"), channels=(Channel.TOOL_CALL_ARGUMENTS,))
    assert run(rules, ["x"]) == ("x", [])
    assert whole(stream(rules, channel=Channel.TOOL_CALL_ARGUMENTS), "x")


def test_a_snapshot_is_not_taken_for_one_of_other_rules() -> None:
    rules = compile_rules([Rule(id=name, matcher=Literal("x"), action=Drop()) for name in ("a", "b")])
    with pytest.raises(ValueError, match="other rules"):
        stream(rules).restore(stream(one(Literal("x"))).snapshot())


def test_a_snapshot_can_be_stored_as_bytes() -> None:
    message = stream(one(Literal("secret")))
    message.feed("a sec")
    stored = msgspec.msgpack.encode(message.snapshot())
    again = stream(one(Literal("secret")))
    again.restore(msgspec.msgpack.decode(stored, type=StreamSnapshot))
    assert again.feed("ret!").text == "[#]!"


def opened(op_id: str) -> Record:
    return records.StreamInterventionRequested(
        op_id=op_id, match_id="m", rule_id="rule", version=1, action=ActionKind.ABORT
    )


def test_once_in_a_run_holds_after_the_journal_is_read_again() -> None:
    rules, repeats = one(Literal("bad"), Emit("seen"), repeat=Repeat.ONCE_PER_RUN), RepeatKeys()
    found = whole(stream(rules, repeats=repeats), "bad")
    assert found[0].key is not None
    kept = records.StreamRuleRepeatStateRecorded(
        rule_id="rule", version=1, repeat=found[0].key.repeat, key=found[0].key.key
    )
    state = rules_state([opened("int_1"), kept])
    again = whole(stream(rules, repeats=RepeatKeys(state.keys), message=ANOTHER_TURN), "bad")
    assert [f.intervenes for f in again] == [False]


@given(st.lists(st.sampled_from(["a", "b", "c"]), unique=True), st.booleans())
def test_interventions_left_open_are_listed_and_closed_as_not_known(closed: list[str], failed: bool) -> None:
    history = [opened(op_id) for op_id in "abc"]
    for op_id in closed:
        history.append(
            records.StreamInterventionFailed(op_id=op_id, reason=Reason.TIMEOUT)
            if failed
            else records.StreamInterventionApplied(op_id=op_id)
        )
    state = rules_state(history)
    assert set(state.open) == set("abc") - set(closed)
    assert not rules_state([*history, *closing(state)]).open


def test_no_record_of_a_rule_has_a_place_for_words() -> None:
    words = {
        "rule_id",
        "match_id",
        "message_id",
        "attempt_id",
        "key",
        "digest",
        "op_id",
        "intervention_id",
        "frame_id",
    }
    for kind, record_type in RECORD_TYPES.items():
        if kind.startswith("stream_"):
            of_text = {f.name for f in msgspec.structs.fields(record_type) if f.type in (str, str | None)}
            assert {name for name in of_text if not name.endswith("_ref")} <= words
