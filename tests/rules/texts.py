"""Rules, texts and cuts for property tests, and what a text must come to, worked out the slow way."""

import hashlib
import hmac
import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from agentfield_rt.core.records.rules import Channel, Repeat
from agentfield_rt.core.rules.matching import fold
from agentfield_rt.core.rules.repeat import RepeatKeys
from agentfield_rt.core.rules.rule import (
    Abort,
    Action,
    Drop,
    Emit,
    Literal,
    Mask,
    Message,
    Regex,
    Rule,
)
from agentfield_rt.core.rules.ruleset import RuleSet, compile_rules
from agentfield_rt.core.rules.stream import Finding, RuleStream
from agentfield_rt.core.rules.syntax import RefusedRule

re2: Any = importlib.import_module("re2")

KEY = b"a key for tests"
MESSAGE = Message(
    run_id="run_1", message_id="item_1", session_id="sess_1", turn_id="turn_1", attempt_id="r_1"
)
CHANNEL = Channel.ASSISTANT_TEXT
REPLACEMENT = "[#]"
ALPHABET = "abcAB 1\u017fßİK\n"
"""Few characters, so that matches happen, and those whose cases change their length."""


def digest(text: str) -> str:
    return hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()[:32]


def stream(
    rules: RuleSet,
    *,
    message: Message = MESSAGE,
    repeats: RepeatKeys | None = None,
    channel: Channel = CHANNEL,
) -> RuleStream:
    return RuleStream(rules, channel, message, repeats=repeats or RepeatKeys(), digest=digest)


def run(rules: RuleSet, pieces: Iterable[str]) -> tuple[str, list[Finding]]:
    """What comes out of a message and what is found in it."""
    message, text, findings = stream(rules), "", list[Finding]()
    for piece in pieces:
        passed = message.feed(piece)
        text += passed.text
        findings += passed.findings
    passed = message.finish()
    return text + passed.text, findings + list(passed.findings)


def one(matcher: Any, action: Any = None, **more: Any) -> RuleSet:
    """A single rule."""
    return compile_rules([Rule(id="rule", matcher=matcher, action=action or Mask(REPLACEMENT), **more)])


def cut(text: str, places: Iterable[int]) -> list[str]:
    """`text` in pieces, cut at `places`."""
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[begin:end] for begin, end in pairwise(edges)]


places = st.lists(st.integers(0, 10_000), max_size=12)
texts = st.text(ALPHABET, max_size=60)
any_text = st.text(max_size=40) | st.text(st.characters(), max_size=40)

_atoms = st.sampled_from(
    [*"abAB1", ".", "[ab]", "[^a]", r"\d", r"\w", r"\s", r"\x61", "[[:upper:]]", "ß", r"\pL"]
)
_edges = st.sampled_from(["", "", "", r"\b", r"\B", "^", "$", r"\A", r"\z"])


def _wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    counts = st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{2,}", "{0}"])
    return (
        st.lists(inner, min_size=1, max_size=3).map("".join)
        | st.lists(inner, min_size=2, max_size=3).map(lambda options: f"(?:{'|'.join(options)})")
        | st.tuples(inner, counts).map(lambda both: f"({both[0]}){both[1]}")
        | st.tuples(_edges, inner, _edges).map("".join)
    )


patterns = st.builds(
    "{}{}".format,
    st.sampled_from(["", "", "(?i)", "(?m)", "(?s)", "(?ims)"]),
    st.recursive(_atoms, _wider, max_leaves=8),
)
literals = st.builds(Literal, st.text(ALPHABET, min_size=1, max_size=6), st.booleans())
matchers = literals | patterns.map(Regex)
actions: st.SearchStrategy[Action] = st.sampled_from(
    [Mask(REPLACEMENT), Mask("<>"), Drop(), Abort(), Emit("seen")]
)


@st.composite
def rule_sets(draw: st.DrawFn, *, only_masks: bool = False, rules_max: int = 3) -> RuleSet:
    """One to three rules that are taken together."""
    rules: list[Rule] = []
    ready = RuleSet()
    for number in range(draw(st.integers(1, rules_max))):
        rule = Rule(
            id=f"rule_{number}",
            matcher=draw(matchers),
            action=Mask(REPLACEMENT) if only_masks else draw(actions),
            window_chars=draw(st.sampled_from([6, 9, 64])),
            repeat=draw(st.sampled_from([Repeat.ALWAYS, Repeat.ONCE_PER_ATTEMPT_AND_SPAN])),
        )
        try:
            ready = compile_rules([*rules, rule])
        except RefusedRule:
            continue
        rules.append(rule)
    return ready


Place = tuple[int, int]


def spans_of(rule: Rule, text: str) -> list[Place]:
    """All matches of a rule in the whole of a text: leftmost, then longest within the window."""
    found: list[Place] = []
    at = 0
    while at < len(text):
        end = _longest(rule, text, at)
        if end is not None:
            found.append((at, end))
        at = end or at + 1
    return found


def _longest(rule: Rule, text: str, at: int) -> int | None:
    match rule.matcher:
        case Literal(literal, ignore_case):
            same = fold if ignore_case else str
            here = text[at : at + len(literal)]
            fits = list(map(same, here)) == list(map(same, literal))
            return at + len(literal) if fits else None
        case Regex(pattern):
            found = compiled(pattern).match(text, at, at + rule.window_chars)
            return None if found is None else int(found.end())
        case _:
            return None


def compiled(pattern: str) -> Any:
    options = re2.Options()
    options.longest_match = True
    options.log_errors = False
    return re2.compile(pattern, options)


@dataclass(frozen=True)
class Expected:
    text: str
    found: list[tuple[str, int, int]]


def expected(rules: RuleSet, text: str) -> Expected:
    """What must come of a whole text."""
    every = _sorted(rules, text)
    return _tell(every, text)


def _sorted(rules: RuleSet, text: str) -> list[tuple[int, bool, int, int, Rule]]:
    hits = [
        (begin, not ready.rule.is_guard, order, end, ready.rule)
        for order, ready in enumerate(rules.ready)
        for begin, end in spans_of(ready.rule, text)
    ]
    return sorted(hits, key=lambda hit: hit[:4])


def _tell(every: Sequence[tuple[int, bool, int, int, Rule]], text: str) -> Expected:
    out, at, found = "", 0, list[tuple[str, int, int]]()
    for begin, is_watcher, _, end, rule in every:
        found.append((rule.id, begin, end))
        if is_watcher:
            continue
        out += text[at:begin]
        if not isinstance(rule.action, Mask):
            return Expected(out, found)
        if begin >= at:
            out += rule.action.replacement
        at = max(at, end)
    return Expected(out + text[at:], found)
