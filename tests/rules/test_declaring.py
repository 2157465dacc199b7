"""What can be declared is held; everything else is refused, by its name and before anything runs."""

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfield_rt.core.records.rules import Channel, Refusal, Repeat
from agentfield_rt.core.rules import linear_regex
from agentfield_rt.core.rules.prefixes import beginnings, shortest_chars, source
from agentfield_rt.core.rules.rule import (
    AbortAndRetry,
    Drop,
    Emit,
    Inject,
    Literal,
    Marker,
    Mask,
    PauseForApproval,
    Regex,
    Rule,
)
from agentfield_rt.core.rules.ruleset import PATTERN_CHARS_MAX, RULES_MAX, compile_rules
from agentfield_rt.core.rules.syntax import RefusedRule, read
from tests.rules.texts import compiled, one, patterns, texts

REFUSED = {
    r"a(?=b)": Refusal.LOOKAROUND,
    r"(?<!a)b": Refusal.LOOKAROUND,
    r"(a)\1": Refusal.BACKREFERENCE,
    r"(?P<x>a)(?P=x)": Refusal.BACKREFERENCE,
    r"a+?": Refusal.LAZY_REPETITION,
    r"a{2,3}?": Refusal.LAZY_REPETITION,
    r"a++": Refusal.UNSUPPORTED_SYNTAX,
    r"a{2}{3}": Refusal.UNSUPPORTED_SYNTAX,
    r"a{,3}": Refusal.UNSUPPORTED_SYNTAX,
    r"\b+a": Refusal.UNSUPPORTED_SYNTAX,
    r"\Qa.b\E": Refusal.UNSUPPORTED_SYNTAX,
    r"\C": Refusal.UNSUPPORTED_SYNTAX,
    r"\012": Refusal.UNSUPPORTED_SYNTAX,
    r"a(?i)b": Refusal.UNSUPPORTED_SYNTAX,
    r"(?i:a)b": Refusal.UNSUPPORTED_SYNTAX,
    r"(?U)a+": Refusal.UNSUPPORTED_SYNTAX,
    r"(?x)a b": Refusal.UNSUPPORTED_SYNTAX,
    r"[a\b]": Refusal.UNSUPPORTED_SYNTAX,
    r"a\Z": Refusal.UNSUPPORTED_SYNTAX,
    r"(a": Refusal.BAD_PATTERN,
    r"a)": Refusal.BAD_PATTERN,
    r"[a": Refusal.BAD_PATTERN,
    r"[z-a]": Refusal.BAD_PATTERN,
    r"*a": Refusal.BAD_PATTERN,
    "a\\": Refusal.BAD_PATTERN,
    "a\ud800": Refusal.BAD_PATTERN,
    r"\p{Klingon}": Refusal.BAD_PATTERN,
    r"": Refusal.MATCHES_EMPTY,
    r"a*": Refusal.MATCHES_EMPTY,
    r"\b": Refusal.MATCHES_EMPTY,
    r"a|b?": Refusal.MATCHES_EMPTY,
    r"a{300}": Refusal.WINDOW_TOO_SMALL,
    "(" * 40 + "a" + ")" * 40: Refusal.PATTERN_TOO_LARGE,
    r"((a{100}){100}){100}": Refusal.BAD_PATTERN,
    "a" * (PATTERN_CHARS_MAX + 1): Refusal.PATTERN_TOO_LARGE,
    r"\pL{1000}": Refusal.PATTERN_TOO_LARGE,
}


def refusal(*rules: Rule) -> Refusal:
    with pytest.raises(RefusedRule) as refused:
        compile_rules(rules)
    return refused.value.refusal


@pytest.mark.parametrize("pattern", REFUSED)
def test_a_pattern_that_cannot_be_held_is_refused_by_name(pattern: str) -> None:
    assert refusal(Rule(id="r", matcher=Regex(pattern), action=Drop())) is REFUSED[pattern]


def test_a_pattern_that_is_slow_in_a_wide_window_is_taken_with_a_narrow_one() -> None:
    pattern = Regex(r"a[ab]{1,240}c")
    assert (
        refusal(Rule(id="r", matcher=pattern, action=Drop(), window_chars=4_096)) is Refusal.PATTERN_TOO_LARGE
    )
    compile_rules([Rule(id="r", matcher=pattern, action=Drop(), window_chars=256)])


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?ims)^a.$",
        r"(?P<name>a)|(?<other>b)",
        r"[]a-z^\]\d[:alpha:]\x{1F600}]",
        r"\x41\x{1F600}\t\.\-\pL\P{Greek}\p{^Greek}[^\W\d]",
        r"a{2}b{2,}c{2,3}d?",
        r"{",
        r"a{x}",
        r"\Aa\z",
    ],
)
def test_the_rest_of_the_syntax_is_taken(pattern: str) -> None:
    compile_rules([Rule(id="r", matcher=Regex(pattern), action=Drop())])


@settings(max_examples=300, deadline=None)
@given(patterns, texts)
def test_a_pattern_read_and_written_again_is_the_same_pattern(pattern: str, text: str) -> None:
    parsed = read(pattern)
    again = compiled(f"{parsed.flags}{source(parsed.root)}")
    spans = [m.span() for m in compiled(pattern).finditer(text)]
    assert [m.span() for m in again.finditer(text)] == spans
    assert all(end - begin >= shortest_chars(parsed.root) for begin, end in spans)


@settings(max_examples=300, deadline=None)
@given(patterns, texts)
def test_each_beginning_of_a_match_is_known_for_one(pattern: str, text: str) -> None:
    parsed = read(pattern)
    begun = beginnings(parsed.root)
    for found in compiled(pattern).finditer(text):
        for end in range(found.start(), found.end()):
            assert begun is not None
            is_open = compiled(f"{parsed.flags}(?:{begun})\\z").match(text[:end], found.start())
            assert is_open is not None, "a match would be coming, and nobody would wait for it"


def rule(**fields: Any) -> Rule:
    given_fields: dict[str, Any] = {"id": "r", "matcher": Literal("bad"), "action": Drop()}
    return Rule(**(given_fields | fields))


TOOL = (Channel.TOOL_RESULT_TEXT,)
BAD_RULES = [
    (rule(id=""), Refusal.BAD_ID),
    (rule(id="a secret"), Refusal.BAD_ID),
    (rule(version=0), Refusal.BAD_ID),
    (rule(channels=()), Refusal.BAD_VALUE),
    (rule(channels=TOOL + TOOL), Refusal.BAD_VALUE),
    (rule(window_chars=0), Refusal.BAD_VALUE),
    (rule(window_chars=5_000), Refusal.BAD_VALUE),
    (rule(matcher=Literal("")), Refusal.BAD_VALUE),
    (rule(matcher=Literal("\ud800")), Refusal.BAD_VALUE),
    (rule(matcher=Literal("bad"), window_chars=2), Refusal.WINDOW_TOO_SMALL),
    (rule(matcher=Marker("two words")), Refusal.BAD_VALUE),
    (rule(matcher=Marker("m"), action=Mask()), Refusal.NEEDS_TEXT),
    (rule(action=Mask("")), Refusal.BAD_VALUE),
    (rule(action=Mask("b")), Refusal.REPLACEMENT_CAN_MATCH),
    (rule(action=Mask("[bad]")), Refusal.REPLACEMENT_CAN_MATCH),
    (rule(matcher=Regex(r"key=\S+"), action=Mask()), Refusal.REPLACEMENT_CAN_MATCH),
    (rule(action=Mask(), repeat=Repeat.ONCE_PER_RUN), Refusal.MUST_REPEAT),
    (rule(action=Drop(), repeat=Repeat.ONCE_PER_TURN), Refusal.MUST_REPEAT),
    (rule(action=AbortAndRetry(), channels=TOOL), Refusal.ACTION_NEEDS_ASSISTANT_TEXT),
    (rule(action=AbortAndRetry(attempts_max=0)), Refusal.BAD_VALUE),
    (rule(action=AbortAndRetry("\ud800")), Refusal.BAD_VALUE),
    (rule(action=PauseForApproval(0)), Refusal.BAD_VALUE),
    (rule(action=PauseForApproval(float("nan"))), Refusal.BAD_VALUE),
    (rule(action=Inject("")), Refusal.BAD_VALUE),
    (rule(action=Emit("what was said")), Refusal.BAD_VALUE),
]


@pytest.mark.parametrize(("bad", "why"), BAD_RULES)
def test_a_rule_that_cannot_be_held_is_refused_by_name(bad: Rule, why: Refusal) -> None:
    assert refusal(bad) is why


def test_a_replacement_that_no_match_can_hold_is_taken_for_a_wide_pattern() -> None:
    one(Regex(r"key=\S+"), Mask(" [redacted] "))


def test_one_rule_s_replacement_is_nothing_another_rule_can_match() -> None:
    first = rule(id="first", action=Mask("<>"))
    assert refusal(first, rule(id="second", matcher=Regex("[<>]"), action=Mask("[]"))) is (
        Refusal.REPLACEMENT_CAN_MATCH
    )
    compile_rules([first, rule(id="second", matcher=Regex("[<>]"), action=Mask("[]"), channels=TOOL)])


def test_two_rules_have_two_ids_and_there_are_not_too_many() -> None:
    assert refusal(rule(), rule()) is Refusal.DUPLICATE_ID
    assert refusal(*(rule(id=f"r{n}") for n in range(RULES_MAX + 1))) is Refusal.TOO_MANY_RULES


def test_a_refusal_names_the_rule_and_quotes_nothing_of_its_words() -> None:
    with pytest.raises(RefusedRule) as refused:
        compile_rules([rule(id="keys", version=3, matcher=Regex("hunter2(?=x)"))])
    assert (refused.value.rule_id, refused.value.version) == ("keys", 3)
    assert "keys" in str(refused.value)
    assert "hunter2" not in str(refused.value) + repr(refused.value)
    assert "hunter2" not in repr(rule(matcher=Regex("hunter2"), action=Inject("hunter2")))


def test_without_the_engine_a_regex_is_refused_and_a_literal_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    linear_regex._engine.cache_clear()  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setitem(sys.modules, "re2", None)
    assert refusal(rule(matcher=Regex("a"))) is Refusal.ENGINE_MISSING
    compile_rules([rule()])
    linear_regex._engine.cache_clear()  # pyright: ignore[reportPrivateUsage]


@given(st.text(max_size=20))
def test_any_text_as_a_pattern_is_taken_or_refused(pattern: str) -> None:
    try:
        one(Regex(pattern), Drop())
    except RefusedRule as refused:
        assert refused.refusal in Refusal
