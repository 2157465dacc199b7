"""How a message is cut into pieces changes nothing, and what a rule keeps from others never comes out."""

from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from agentfield_rt.core.rules.prefixes import has_assertion
from agentfield_rt.core.rules.repeat import RepeatKeys
from agentfield_rt.core.rules.rule import Drop, Emit, Literal, Mask, Regex, Rule
from agentfield_rt.core.rules.ruleset import RuleSet, compile_rules
from agentfield_rt.core.rules.stream import PIECE_CHARS_MAX, Finding
from agentfield_rt.core.rules.syntax import RefusedRule, read
from tests.rules.texts import (
    Expected,
    any_text,
    compiled,
    cut,
    expected,
    one,
    patterns,
    places,
    rule_sets,
    run,
    spans_of,
    stream,
    texts,
)

EXAMPLES = settings(max_examples=250, deadline=None)


def found(findings: list[Finding]) -> list[tuple[str, int, int]]:
    return sorted((f.rule.id, f.start_chars, f.start_chars + f.length_chars) for f in findings)


def comes_to(rules: RuleSet, pieces: list[str]) -> Expected:
    text, findings = run(rules, pieces)
    return Expected(text, found(findings))


def _looks_around(rule: Rule) -> bool:
    """What a match's neighbours are is another matter once these are masked."""
    return isinstance(rule.matcher, Regex) and has_assertion(read(rule.matcher.pattern).root)


def should(rules: RuleSet, text: str) -> Expected:
    whole = expected(rules, text)
    return Expected(whole.text, sorted(whole.found))


@EXAMPLES
@given(rule_sets(), texts, places)
@example(one(Literal("aab")), "aaab", [1, 2, 3])
@example(one(Literal("SS", ignore_case=True)), "İ\u017fß \u017fS", [1, 2, 3, 4, 5])
@example(one(Regex("sk-[A-Z]{3,}")), "sk- then sk-ABCDEF", [3])
@example(one(Regex(r"ab$|a\b")), "ab a", [1, 2, 3])
def test_the_pieces_of_a_text_change_neither_what_is_found_nor_what_comes_out(
    rules: RuleSet, text: str, cuts: list[int]
) -> None:
    assert comes_to(rules, cut(text, cuts)) == should(rules, text)


@EXAMPLES
@given(rule_sets(), texts, places, st.lists(st.integers(0, 12), max_size=4))
def test_a_snapshot_between_any_two_pieces_changes_nothing(
    rules: RuleSet, text: str, cuts: list[int], restarts: list[int]
) -> None:
    repeats, message = RepeatKeys(), None
    out, findings = "", list[Finding]()
    message = stream(rules, repeats=repeats)
    for number, piece in enumerate(cut(text, cuts)):
        if number in restarts:
            kept = message.snapshot()
            repeats = RepeatKeys(repeats.all())
            message = stream(rules, repeats=repeats)
            message.restore(kept)
        passed = message.feed(piece)
        out, findings = out + passed.text, findings + list(passed.findings)
    passed = message.finish()
    out, findings = out + passed.text, findings + list(passed.findings)
    assert Expected(out, found(findings)) == should(rules, text)


@EXAMPLES
@given(rule_sets(only_masks=True), texts, places)
def test_no_match_of_a_mask_is_in_what_comes_out(rules: RuleSet, text: str, cuts: list[int]) -> None:
    assume(not any(_looks_around(ready.rule) for ready in rules.ready))
    out, _ = run(rules, cut(text, cuts))
    for ready in rules.ready:
        assert spans_of(ready.rule, out) == []


@EXAMPLES
@given(rule_sets(only_masks=True), texts, places)
def test_unmasked_text_comes_out_exactly_once_and_in_order(
    rules: RuleSet, text: str, cuts: list[int]
) -> None:
    out, findings = run(rules, cut(text, cuts))
    masked = {at for f in findings for at in range(f.start_chars, f.start_chars + f.length_chars)}
    assert out.replace("[#]", "") == "".join(c for at, c in enumerate(text) if at not in masked)


@EXAMPLES
@given(patterns, texts, places)
def test_a_pattern_finds_what_re2_finds_in_the_whole_text(pattern: str, text: str, cuts: list[int]) -> None:
    try:
        rules = one(Regex(pattern), Emit("seen"), window_chars=64)
    except RefusedRule:
        assume(False)
        raise
    _, findings = run(rules, cut(text, cuts))
    assert found(findings) == [("rule", *m.span()) for m in compiled(pattern).finditer(text)]


@EXAMPLES
@given(any_text, st.text(min_size=1, max_size=10), st.booleans(), places)
def test_every_character_of_unicode_passes_and_is_found(
    text: str, literal: str, ignore_case: bool, cuts: list[int]
) -> None:
    rules = one(Literal(literal, ignore_case=ignore_case), Emit("seen"))
    out, findings = run(rules, cut(text + literal + text, cuts))
    well_formed = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    assert out == well_formed + literal + well_formed
    assert findings


def test_text_is_held_no_longer_than_it_may_become_a_match() -> None:
    message = stream(one(Literal("secret")))
    assert [message.feed(piece).text for piece in ("so sec", "ond", " s", "e", "cret", "!")] == [
        "so ", "second", " ", "", "[#]", "!",
    ]  # fmt: skip


def test_a_pattern_that_cannot_grow_is_decided_with_its_last_character() -> None:
    message = stream(one(Regex(r"\d{4}")))
    assert [message.feed(digit).text for digit in "x1234"] == ["x", "", "", "", "[#]"]


def test_a_pattern_that_can_grow_is_decided_when_it_ends() -> None:
    message = stream(one(Regex(r"sk-[a-z]+")))
    assert [message.feed(piece).text for piece in ("sk-ab", "cd", "; ok")] == ["", "", "[#]; ok"]


def test_of_what_is_longer_than_the_window_nothing_comes_out() -> None:
    text, findings = run(one(Regex("a+"), window_chars=3), ["aaaa", "aaab"])
    assert (text, len(findings)) == ("[#][#][#]b", 3)


def test_overlapping_masks_become_one_with_the_replacement_of_the_first() -> None:
    rules = compile_rules(
        [
            Rule(id="first", matcher=Literal("bcd"), action=Mask("<>")),
            Rule(id="second", matcher=Literal("ab"), action=Mask("[]")),
        ]
    )
    for pieces in (["xabcdy"], list("xabcdy")):
        text, findings = run(rules, pieces)
        assert text == "x[]y"
        assert {f.rule.id for f in findings} == {"first", "second"}


def test_a_match_across_two_messages_is_none() -> None:
    rules = one(Literal("secret"))
    assert run(rules, ["sec"]) == ("sec", [])
    assert run(rules, ["ret"]) == ("ret", [])


@pytest.mark.parametrize("pattern", ["(a|a)*b", "(a*)*b", "a.*b.*c", "(?:a|b|c){1,60}d"])
def test_memory_is_bounded_whatever_comes(pattern: str) -> None:
    window = 64
    message = stream(one(Regex(pattern), Drop(), window_chars=window))
    for _ in range(20):
        message.feed("a" * 5_000)
        kept = message.snapshot()
        assert len(kept.text) <= window + 1
        assert len(kept.waiting) <= window


def test_a_large_piece_is_taken_in_bounded_ones() -> None:
    text, findings = run(one(Literal("b")), ["a" * PIECE_CHARS_MAX * 3 + "b"])
    assert text == "a" * PIECE_CHARS_MAX * 3 + "[#]"
    assert len(findings) == 1


@given(st.text("ab", max_size=30))
def test_the_same_text_has_the_same_digest_and_another_has_not(text: str) -> None:
    _, findings = run(one(Regex("a+b?")), [text])
    for one_, other in pairwise(findings):
        matched = [text[f.start_chars : f.start_chars + f.length_chars] for f in (one_, other)]
        assert (one_.digest == other.digest) == (matched[0] == matched[1])
        assert one_.match_id != other.match_id


def test_a_match_that_has_no_form_within_the_window_is_none_and_the_next_one_is_found() -> None:
    rules = one(Regex("a(?:b|c{5})"), window_chars=3)
    assert run(rules, ["accccc", " ab"]) == run(rules, [*"accccc ab"])
    assert run(rules, ["accccc ab"])[0] == "accccc [#]"


def test_a_message_that_is_over_takes_nothing_more() -> None:
    message = stream(one(Literal("secret")))
    assert message.feed("sec").text + message.finish().text == "sec"
    assert (message.feed("ret").text, message.finish().text, message.held) == ("", "", "")
    assert message.mark("x").findings == ()
