"""The part of RE2's syntax that rules may use, read into a tree.

What is read here is supported in full; everything else is refused by its name. Look-around and
back-references no linear-time engine has. Lazy repetition means nothing where the longest match counts.
"""

import re
import string
from dataclasses import dataclass

from agentfield_rt.core.records.rules import Refusal
from agentfield_rt.errors import RealtimeError


class RefusedRule(RealtimeError):
    """The author's fault: a rule that cannot be held as it is declared is not taken at all.

    Its text never quotes the rule's pattern, which may be secret.
    """

    def __init__(self, refusal: Refusal, message: str, *, rule_id: str = "", version: int = 0) -> None:
        super().__init__(f"{message} ({refusal})")
        self.refusal = refusal
        self.rule_id = rule_id
        self.version = version


@dataclass(frozen=True, slots=True)
class Atom:
    """Exactly one character; `source` is RE2's own notation for which."""

    source: str


@dataclass(frozen=True, slots=True)
class Assertion:
    """No character, a condition on the neighbours. One that looks ahead is open while the text may go on."""

    source: str
    looks_ahead: bool


@dataclass(frozen=True, slots=True)
class Sequence:
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    options: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repetition:
    """`body` at least `least` and at most `most` times; None is without end."""

    body: "Node"
    least: int
    most: int | None


Node = Atom | Assertion | Sequence | Choice | Repetition


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern as read. `flags` is the group of flags it begins with, or empty."""

    flags: str
    root: Node


NESTING_MAX = 32

_FLAGS = re.compile(r"\(\?([A-Za-z-]+)\)")
_GROUP_NAME = re.compile(r"\?P?<[A-Za-z_][A-Za-z0-9_]*>")
_COUNT = re.compile(r"\{(\d+)(,(\d*))?\}")
_HEXADECIMAL = re.compile(r"x(?:[0-9A-Fa-f]{2}|\{[0-9A-Fa-f]{1,6}\})")
_PROPERTY = re.compile(r"[pP](?:[A-Z]|\{\^?[A-Za-z_]+\})")
_POSIX = re.compile(r"\[:\^?[a-z]+:\]")
_ONE_CHARACTER = frozenset("dDsSwWtnrfva")
_ASSERTIONS = {"b": True, "B": True, "z": True, "A": False}


def read(pattern: str) -> Pattern:
    """Read a pattern.

    Raises:
        RefusedRule: It uses something that is not supported, or is no pattern.
    """
    flags = ""
    if (leading := _FLAGS.match(pattern)) is not None:
        flags = leading.group()
        if not set(leading.group(1)) <= set("ims"):
            raise RefusedRule(
                Refusal.UNSUPPORTED_SYNTAX, "a pattern may begin with the flags i, m and s only"
            )
    reader = _Reader(pattern, len(flags))
    root = reader.choice()
    if not reader.at_end:
        raise reader.refused(Refusal.BAD_PATTERN, "a closing bracket without its opening one")
    return Pattern(flags, root)


class _Reader:
    def __init__(self, pattern: str, position: int) -> None:
        self._pattern = pattern
        self._at = position
        self._nesting = 0

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._pattern)

    def refused(self, refusal: Refusal, what: str) -> RefusedRule:
        return RefusedRule(refusal, f"at character {self._at} of the pattern: {what}")

    def choice(self) -> Node:
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while not self.at_end and self._pattern[self._at] not in "|)":
            parts.append(self._repeated())
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _repeated(self) -> Node:
        body = self._single()
        counts = self._counts()
        if counts is None:
            return body
        if self._take("?"):
            raise self.refused(Refusal.LAZY_REPETITION, "the longest match counts, so nothing is lazy")
        if self._take("+") or self._counts() is not None:
            raise self.refused(Refusal.UNSUPPORTED_SYNTAX, "a repetition of a repetition needs a group")
        if isinstance(body, Assertion):
            raise self.refused(Refusal.UNSUPPORTED_SYNTAX, "an assertion is not repeated")
        return Repetition(body, *counts)

    def _counts(self) -> tuple[int, int | None] | None:
        for sign, counts in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return counts
        if self._pattern.startswith("{,", self._at):
            raise self.refused(Refusal.UNSUPPORTED_SYNTAX, "say from how many on: {0,…}")
        found = _COUNT.match(self._pattern, self._at)
        if found is None:
            return None
        self._at = found.end()
        least, has_comma, most = int(found[1]), found[2], found[3]
        return least, (int(most) if most else None) if has_comma else least

    def _single(self) -> Node:
        character = self._pattern[self._at]
        if character in "*+?":
            raise self.refused(Refusal.BAD_PATTERN, "a repetition of nothing")
        self._at += 1
        match character:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case "\\":
                return self._escape()
            case "^":
                return Assertion("^", looks_ahead=False)
            case "$":
                return Assertion("$", looks_ahead=True)
            case _:
                return Atom(character)

    def _group(self) -> Node:
        if self._pattern.startswith("?", self._at) and not self._take("?:"):
            name = _GROUP_NAME.match(self._pattern, self._at)
            if name is None:
                raise self._unknown_group()
            self._at = name.end()
        self._nesting += 1
        if self._nesting > NESTING_MAX:
            raise self.refused(Refusal.PATTERN_TOO_LARGE, f"groups are nested deeper than {NESTING_MAX}")
        inside = self.choice()
        self._nesting -= 1
        if not self._take(")"):
            raise self.refused(Refusal.BAD_PATTERN, "an opening bracket without its closing one")
        return inside

    def _unknown_group(self) -> RefusedRule:
        if self._pattern.startswith(("?=", "?!", "?<=", "?<!"), self._at):
            return self.refused(Refusal.LOOKAROUND, "look-around has no linear-time engine")
        if self._pattern.startswith("?P=", self._at):
            return self.refused(Refusal.BACKREFERENCE, "a back-reference has no linear-time engine")
        return self.refused(Refusal.UNSUPPORTED_SYNTAX, "flags stand at the beginning; groups are (…), (?:…)")

    def _class(self) -> Atom:
        begin = self._at - 1
        self._take("^")
        self._take("]")  # as the first it stands for itself
        while not self._take("]"):
            if self.at_end:
                raise self.refused(Refusal.BAD_PATTERN, "a character class without its end")
            if (posix := _POSIX.match(self._pattern, self._at)) is not None:
                self._at = posix.end()
            elif self._take("\\"):
                if isinstance(self._escape(), Assertion):
                    raise self.refused(Refusal.UNSUPPORTED_SYNTAX, "an assertion inside a character class")
            else:
                self._at += 1
        return Atom(self._pattern[begin : self._at])

    def _escape(self) -> Atom | Assertion:
        """What follows a backslash."""
        if self.at_end:
            raise self.refused(Refusal.BAD_PATTERN, "a backslash at the end")
        letter = self._pattern[self._at]
        for notation in (_HEXADECIMAL, _PROPERTY):
            if (found := notation.match(self._pattern, self._at)) is not None:
                self._at = found.end()
                return Atom(f"\\{found.group()}")
        if letter in "123456789":
            raise self.refused(Refusal.BACKREFERENCE, "a back-reference has no linear-time engine")
        if letter in _ASSERTIONS:
            self._at += 1
            return Assertion(f"\\{letter}", looks_ahead=_ASSERTIONS[letter])
        if letter in _ONE_CHARACTER or letter in string.punctuation:
            self._at += 1
            return Atom(f"\\{letter}")
        raise self.refused(Refusal.UNSUPPORTED_SYNTAX, "an escape that is not supported")

    def _take(self, expected: str) -> bool:
        if self._pattern.startswith(expected, self._at):
            self._at += len(expected)
            return True
        return False
