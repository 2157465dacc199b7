"""Rules made ready to run, or refused: what is declared is held, and what cannot be held is not declared."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agentfield_rt.core.records.rules import Channel, Refusal, Repeat
from agentfield_rt.core.rules.linear_regex import compile_regex
from agentfield_rt.core.rules.matching import LiteralMatcher, RegexMatcher, TextMatcher
from agentfield_rt.core.rules.prefixes import beginnings, characters, shortest_chars
from agentfield_rt.core.rules.rule import (
    AbortAndRetry,
    Drop,
    Emit,
    Inject,
    Literal,
    Marker,
    Mask,
    Message,
    PauseForApproval,
    Regex,
    Rule,
)
from agentfield_rt.core.rules.syntax import RefusedRule, read

RULES_MAX = 64
WINDOW_CHARS_MAX = 4_096
PATTERN_CHARS_MAX = 512
SCAN_STEPS_MAX = 1_000_000
"""A window is read anew with every piece of text: a few milliseconds of the event loop at worst."""

REPLACEMENT_CHARS_MAX = 256
INJECTED_CHARS_MAX = 4_096
ATTEMPTS_MAX = 5
APPROVAL_S_MAX = 3_600.0

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_EVERY_TIME = (Repeat.ALWAYS, Repeat.ONCE_PER_ATTEMPT_AND_SPAN)


@dataclass(frozen=True, slots=True)
class ReadyRule:
    """A rule with what finds its matches; a marker's finds none in text."""

    rule: Rule
    matcher: TextMatcher | None


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules that go together, in the order in which they were declared."""

    ready: tuple[ReadyRule, ...] = ()

    def watching(self, channel: Channel, message: Message) -> tuple[ReadyRule, ...]:
        """Those that watch this message."""
        return tuple(
            ready
            for ready in self.ready
            if channel in ready.rule.channels and message.belongs_to(ready.rule.scope)
        )


def compile_rules(rules: Iterable[Rule]) -> RuleSet:
    """Make rules ready.

    Raises:
        RefusedRule: One cannot be held; says which and why.
    """
    ready: list[ReadyRule] = []
    for rule in rules:
        try:
            if len(ready) >= RULES_MAX:
                raise RefusedRule(Refusal.TOO_MANY_RULES, f"there may be {RULES_MAX} rules")
            if any(rule.id == other.rule.id for other in ready):
                raise RefusedRule(Refusal.DUPLICATE_ID, "two rules have this id")
            _check(rule)
            ready.append(ReadyRule(rule, _matcher(rule)))
        except RefusedRule as error:
            raise _named(error, rule) from None
    _check_replacements(ready)
    return RuleSet(tuple(ready))


def _named(error: RefusedRule, rule: Rule) -> RefusedRule:
    message = str(error).removesuffix(f" ({error.refusal})")
    shown = rule.id if _ID.fullmatch(rule.id) else "of a bad id"
    return RefusedRule(error.refusal, f"rule {shown}: {message}", rule_id=rule.id, version=rule.version)


def _check(rule: Rule) -> None:
    if not _ID.fullmatch(rule.id) or rule.version < 1:
        raise RefusedRule(Refusal.BAD_ID, "an id is 1-64 letters, digits and . _ -, a version is at least 1")
    if not rule.channels or len(set(rule.channels)) != len(rule.channels):
        raise RefusedRule(Refusal.BAD_VALUE, "name each channel once, and at least one")
    _check_number("window_chars", rule.window_chars, 1, WINDOW_CHARS_MAX)
    only_speech = rule.channels == (Channel.ASSISTANT_TEXT,)
    if isinstance(rule.action, Mask | Drop) and rule.repeat not in _EVERY_TIME:
        raise RefusedRule(Refusal.MUST_REPEAT, "what is kept from others is kept from them every time")
    if isinstance(rule.action, AbortAndRetry) and not only_speech:
        raise RefusedRule(Refusal.ACTION_NEEDS_ASSISTANT_TEXT, "only assistant_text is asked for again")
    if isinstance(rule.action, Mask) and isinstance(rule.matcher, Marker):
        raise RefusedRule(Refusal.NEEDS_TEXT, "a marker has no text to mask")
    _check_action(rule.action)


def _check_action(action: Any) -> None:
    match action:
        case Mask(replacement):
            _check_text("replacement", replacement, REPLACEMENT_CHARS_MAX)
        case AbortAndRetry(instructions, attempts_max):
            _check_text("instructions", instructions or "-", INJECTED_CHARS_MAX)
            _check_number("attempts_max", attempts_max, 1, ATTEMPTS_MAX)
        case PauseForApproval(expires_after_s):
            _check_number("expires_after_s", expires_after_s, 0.001, APPROVAL_S_MAX)
        case Inject(text):
            _check_text("text", text, INJECTED_CHARS_MAX)
        case Emit(notice):
            if not _ID.fullmatch(notice):
                raise RefusedRule(Refusal.BAD_VALUE, "a notice is 1-64 letters, digits and . _ -")
        case _:
            pass


def _check_number(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise RefusedRule(Refusal.BAD_VALUE, f"{name} is {least} to {most}, not {value}")


def _check_text(name: str, text: str, chars_max: int) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RefusedRule(Refusal.BAD_VALUE, f"{name} holds half of a surrogate pair") from None
    if not 1 <= len(text) <= chars_max:
        raise RefusedRule(Refusal.BAD_VALUE, f"{name} has 1 to {chars_max} characters")


def _matcher(rule: Rule) -> TextMatcher | None:
    match rule.matcher:
        case Literal(text, ignore_case):
            _check_text("text", text, WINDOW_CHARS_MAX)
            if len(text) > rule.window_chars:
                raise RefusedRule(Refusal.WINDOW_TOO_SMALL, "the literal is longer than its window")
            return LiteralMatcher(text, ignore_case=ignore_case)
        case Regex(pattern):
            return _regex(pattern, rule.window_chars)
        case Marker(name, version):
            if not _ID.fullmatch(name) or version < 1:
                raise RefusedRule(Refusal.BAD_VALUE, "a marker is 1-64 letters, digits and . _ -")
            return None


def _regex(pattern: str, window_chars: int) -> RegexMatcher:
    if len(pattern) > PATTERN_CHARS_MAX:
        raise RefusedRule(Refusal.PATTERN_TOO_LARGE, f"a pattern has at most {PATTERN_CHARS_MAX} characters")
    parsed = read(pattern)
    whole = compile_regex(pattern)
    shortest = shortest_chars(parsed.root)
    if shortest == 0:
        raise RefusedRule(Refusal.MATCHES_EMPTY, "the pattern matches no text at all, everywhere")
    if shortest > window_chars:
        raise RefusedRule(Refusal.WINDOW_TOO_SMALL, "every match is longer than the window")
    beginning = compile_regex(f"{parsed.flags}(?:{beginnings(parsed.root)})\\z")
    if max(whole.programsize, beginning.programsize) * window_chars > SCAN_STEPS_MAX:
        message = "the pattern's program is too large for its window; repeat less, or make the window smaller"
        raise RefusedRule(Refusal.PATTERN_TOO_LARGE, message)
    return RegexMatcher(
        whole,
        beginning,
        compile_regex(f"{parsed.flags}(?:{'|'.join(sorted(characters(parsed.root)))})"),
        window_chars=window_chars,
    )


def _check_replacements(ready: list[ReadyRule]) -> None:
    """A replacement separates: no match may hold a part of it, or masking would make new matches."""
    masks = [one for one in ready if isinstance(one.rule.action, Mask)]
    for one in masks:
        assert isinstance(one.rule.action, Mask)
        for other in masks:
            shared = set(one.rule.channels) & set(other.rule.channels)
            if shared and other.matcher is not None and other.matcher.can_touch(one.rule.action.replacement):
                message = (
                    f"a match of {other.rule.id} could hold a part of the replacement; its first and last "
                    "characters must be ones that no match holds (a space or a line break may do)"
                )
                raise _named(RefusedRule(Refusal.REPLACEMENT_CAN_MATCH, message), one.rule)
