"""Bugs planted on purpose. Each is one plausible slip of the hand, with the test that must notice it."""

# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st

from agentfield_rt.core.records.rules import Repeat
from agentfield_rt.core.rules import matching, prefixes, ruleset
from agentfield_rt.core.rules import stream as stream_module
from agentfield_rt.core.rules.matching import LiteralMatcher, Progress, RegexMatcher, Window
from agentfield_rt.core.rules.repeat import RepeatKeys
from agentfield_rt.core.rules.rule import Abort, Literal, Mask, Rule
from agentfield_rt.core.rules.ruleset import RuleSet, compile_rules
from agentfield_rt.core.rules.stream import RuleStream, StreamSnapshot, StreamStatus
from agentfield_rt.core.rules.syntax import Assertion, Repetition
from agentfield_rt.voice.interventions import Interventions
from agentfield_rt.voice.rules import SessionRules
from agentfield_rt.voice.watching import Watch
from tests.planting import Bugs, property_search
from tests.rules import test_acting, test_declaring, test_in_a_call, test_interventions, test_streams
from tests.rules.texts import one, places, rule_sets, texts


def _property(test: Any, *strategies: st.SearchStrategy[Any]) -> Callable[[], Any]:
    """A property test, of other texts."""
    return property_search(test.hypothesis.inner_test, *strategies)


def _masks(hidden: list[str]) -> RuleSet:
    return compile_rules(
        Rule(id=f"rule_{number}", matcher=Literal(text), action=Mask("[#]"))
        for number, text in enumerate(hidden)
    )


PIECES = _property(
    test_streams.test_the_pieces_of_a_text_change_neither_what_is_found_nor_what_comes_out,
    rule_sets(), texts, places,
)  # fmt: skip
LITERALS = _property(
    test_streams.test_the_pieces_of_a_text_change_neither_what_is_found_nor_what_comes_out,
    st.text("ab", min_size=1, max_size=5).map(lambda text: one(Literal(text))),
    st.text("ab", max_size=30),
    places,
)
OVERLAPS = _property(
    test_streams.test_the_pieces_of_a_text_change_neither_what_is_found_nor_what_comes_out,
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=2, max_size=3).map(_masks),
    st.text("ab", max_size=30),
    places,
)
SNAPSHOTS = _property(
    test_streams.test_a_snapshot_between_any_two_pieces_changes_nothing,
    rule_sets(), texts, places, st.lists(st.integers(0, 12), max_size=4),
)  # fmt: skip
MASKED = _property(
    test_streams.test_no_match_of_a_mask_is_in_what_comes_out, rule_sets(only_masks=True), texts, places
)


PLANTED = Bugs(seen_by=PIECES)
planted = PLANTED.planted


@planted("the beginning of a masked match is passed on before its end is there")
def mask_leaks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RuleStream, "_safe", lambda self: self._window.end)


@planted("what a pattern may still become is not waited for", seen_by=MASKED, seed=3)
def nothing_is_open(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RegexMatcher, "_open_from", lambda self, text, at, *, final: len(text))


@planted("a match is found again with every piece")
def found_again(patch: pytest.MonkeyPatch) -> None:
    scan = RegexMatcher.scan

    def again(self: Any, window: Window, progress: Progress, *, final: bool) -> Any:
        spans, after = scan(self, window, progress, final=final)
        return spans, Progress(spans[-1][0]) if spans and not final else after

    patch.setattr(RegexMatcher, "scan", again)


@planted("only the first place where a literal may begin is tried", seen_by=LITERALS, seed=1)
def no_borders(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(matching, "_borders", lambda literal: [0] * len(literal))


@planted("of several matches in a piece only the first is found")
def only_the_first(patch: pytest.MonkeyPatch) -> None:
    scan = LiteralMatcher.scan

    def first(self: Any, window: Window, progress: Progress, *, final: bool) -> Any:
        spans, after = scan(self, window, progress, final=final)
        return spans[:1], after

    patch.setattr(LiteralMatcher, "scan", first)


@planted(
    "text of one message is joined to the next", seen_by=test_streams.test_a_match_across_two_messages_is_none
)
def messages_join(patch: pytest.MonkeyPatch) -> None:
    finish, begin, left = RuleStream.finish, RuleStream.__init__, [""]

    def joined(self: Any, *arguments: Any, **more: Any) -> None:
        begin(self, *arguments, **more)
        self.feed(left[0])

    def leaving(self: Any) -> Any:
        left[0] = self.held
        return finish(self)

    patch.setattr(RuleStream, "__init__", joined)
    patch.setattr(RuleStream, "finish", leaving)


@planted("cases are folded to texts of another length")
def folding_moves(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(matching, "fold", lambda character: character.lower())


@planted("a match that depends on the next character is decided without it", seed=7)
def no_looking_ahead(patch: pytest.MonkeyPatch) -> None:
    _patch_beginnings(patch, lambda node: None if isinstance(node, Assertion) else ...)


@planted("a repetition is thought complete when its least is there")
def least_is_enough(patch: pytest.MonkeyPatch) -> None:
    def least(node: Any) -> Any:
        if isinstance(node, Repetition) and (node.most is None or node.most > node.least > 0):
            return beginnings(Repetition(node.body, node.least, node.least))
        return ...

    beginnings = prefixes.beginnings
    _patch_beginnings(patch, least)


def _patch_beginnings(patch: pytest.MonkeyPatch, wrong: Callable[[Any], Any]) -> None:
    beginnings = prefixes.beginnings

    def patched(node: Any) -> Any:
        answer = wrong(node)
        return beginnings(node) if answer is ... else answer

    patch.setattr(prefixes, "beginnings", patched)
    patch.setattr(ruleset, "beginnings", patched)


@planted(
    "the window does not bound a match",
    seen_by=test_streams.test_of_what_is_longer_than_the_window_nothing_comes_out,
)
def no_window(patch: pytest.MonkeyPatch) -> None:
    begin = RegexMatcher.__init__

    def unbounded(self: Any, *arguments: Any, window_chars: int) -> None:
        begin(self, *arguments, window_chars=window_chars * 100)

    patch.setattr(RegexMatcher, "__init__", unbounded)


@planted("of overlapping masks the last one says what is covered", seen_by=OVERLAPS)
def last_mask_counts(patch: pytest.MonkeyPatch) -> None:
    act = RuleStream._act

    def uncovering(self: Any, rule: Any, hit: Any, output: Any) -> None:
        act(self, rule, hit, output)
        if isinstance(rule.action, Mask):
            self._covered = hit.end

    patch.setattr(RuleStream, "_act", uncovering)


@planted("after an abort the rest of the message is passed on")
def abort_goes_on(patch: pytest.MonkeyPatch) -> None:
    act = RuleStream._act

    def going_on(self: Any, rule: Any, hit: Any, output: Any) -> None:
        act(self, rule, hit, output)
        if isinstance(rule.action, Abort):
            self._status, self._stop = StreamStatus.OPEN, None

    patch.setattr(RuleStream, "_act", going_on)


@planted("a snapshot forgets what is held", seen_by=SNAPSHOTS)
def window_lost(patch: pytest.MonkeyPatch) -> None:
    restore = RuleStream.restore

    def forgetting(self: Any, snapshot: StreamSnapshot) -> None:
        restore(self, snapshot)
        self._window = Window("", self._window.end)
        self._released = self._window.end
        self._progress = [Progress(self._window.end) for _ in self._progress]

    patch.setattr(RuleStream, "restore", forgetting)


@planted(
    "once in a run is forgotten with the process",
    seen_by=test_acting.test_once_in_a_run_holds_after_the_journal_is_read_again,
)
def keys_lost(patch: pytest.MonkeyPatch) -> None:
    original = RepeatKeys.__init__
    patch.setattr(RepeatKeys, "__init__", lambda self, keys=(), once=None: original(self))


@planted(
    "what may be done once is done every time",
    seen_by=partial(test_acting.test_a_rule_intervenes_as_often_as_it_says, *test_acting.REPEATED[1]),
)
def never_remembered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RepeatKeys, "add", lambda self, key: None)


@planted(
    "a match is named after its text",
    seen_by=partial(test_acting.test_a_rule_intervenes_as_often_as_it_says, Repeat.ALWAYS, [True] * 4),
)
def ids_repeat(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(stream_module, "place", lambda channel, message, span: "x")


@planted(
    "a replacement may be a part of a match",
    seen_by=test_declaring.test_one_rule_s_replacement_is_nothing_another_rule_can_match,
)
def replacements_match(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ruleset, "_check_replacements", lambda ready: None)


@planted(
    "matched text is hashed without a key",
    seen_by=test_in_a_call.test_equal_matches_have_equal_hashes_in_one_run_and_others_in_another,
)
def guessable(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Watch, "_digest", lambda self, text: hashlib.sha256(text.encode()).hexdigest()[:32])


@planted(
    "an intervention stays open when the session ends",
    seen_by=test_interventions.test_whoever_waits_for_a_decision_learns_that_the_session_is_over,
)
def left_open(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Interventions, "_fail", lambda self, op_id, reason: self._open.pop(op_id, None))


@planted(
    "what the user says goes past the rules when it is complete",
    seen_by=test_in_a_call.test_the_user_s_words_are_masked_while_they_are_said_and_when_they_are_complete,
)
def turns_go_past(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SessionRules, "_heard", lambda self, event: self._deliver(event))


@planted(
    "a tool gets its arguments as the model wrote them",
    seen_by=test_in_a_call.test_a_tool_gets_masked_arguments_however_they_are_written,
)
def arguments_go_past(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SessionRules, "_called", lambda self, event: self._deliver(event))


@planted(
    "what is held at the end of an answer is lost",
    seen_by=test_in_a_call.test_what_was_held_is_passed_on_when_the_answer_is_complete,
)
def tail_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SessionRules, "_rest", lambda self, response_id: ())
