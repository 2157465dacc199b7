"""Finds matches in text that comes in pieces. The same text in other pieces has the same matches.

A matcher is stateless; how far it has come is a `Progress`. It decides about a place as soon as no text that
may follow can change what begins there, and never later than its window.
"""

from dataclasses import dataclass
from typing import Protocol

from agentfield_rt.core.rules.linear_regex import LinearRegex

Span = tuple[int, int]
"""Where a match begins and where it ends, in characters of the message."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Every match that begins before `decided` is known. From there on, `matched` characters fit so far."""

    decided: int = 0
    matched: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a message that is still needed: `text`, which begins at character `base`.

    Before a matcher's `decided` there is one more character, unless that is where the message begins.
    """

    text: str = ""
    base: int = 0

    @property
    def end(self) -> int:
        return self.base + len(self.text)


class TextMatcher(Protocol):
    """One rule's way to find matches."""

    def scan(self, window: Window, progress: Progress, *, final: bool) -> tuple[list[Span], Progress]:
        """Matches that are decided now, in order, none overlapping. `final`: no more text comes."""
        ...

    def can_touch(self, replacement: str) -> bool:
        """Whether a match could hold the first or last character of `replacement`, or lie within it."""
        ...


def fold(character: str) -> str:
    """One character for all of its cases. What folds to several stays as it is."""
    for folded in (character.casefold(), character.lower()):
        if len(folded) == 1:
            return folded
    return character


class LiteralMatcher:
    """Knuth, Morris and Pratt: the longest end of the text that is a beginning of the literal."""

    def __init__(self, text: str, *, ignore_case: bool) -> None:
        self._ignore_case = ignore_case
        self._literal = self._folded(text)
        self._shorter = _borders(self._literal)

    def scan(self, window: Window, progress: Progress, *, final: bool) -> tuple[list[Span], Progress]:
        literal, shorter = self._literal, self._shorter
        spans: list[Span] = []
        matched, place = progress.matched, progress.decided + progress.matched
        for character in self._folded(window.text[place - window.base :]):
            while matched and literal[matched] != character:
                matched = shorter[matched - 1]
            matched += literal[matched] == character
            place += 1
            if matched == len(literal):
                spans.append((place - matched, place))
                matched = 0
        return spans, Progress(place) if final else Progress(place - matched, matched)

    def can_touch(self, replacement: str) -> bool:
        folded = self._folded(replacement)
        return folded[0] in self._literal or folded[-1] in self._literal or self._literal in folded

    def _folded(self, text: str) -> str:
        return "".join(map(fold, text)) if self._ignore_case else text


def _borders(literal: str) -> list[int]:
    """For each beginning of `literal`: its longest end, but itself, that `literal` begins with."""
    borders = [0] * len(literal)
    matched = 0
    for place in range(1, len(literal)):
        while matched and literal[matched] != literal[place]:
            matched = borders[matched - 1]
        matched += literal[matched] == literal[place]
        borders[place] = matched
    return borders


class RegexMatcher:
    """The leftmost match of at most `window_chars`, and of those that begin there the longest.

    Args:
        whole: Finds matches.
        beginning: Matches, up to the end of the text, what a match may still be coming from.
        character: Matches each character that can stand in a match.
    """

    def __init__(
        self, whole: LinearRegex, beginning: LinearRegex, character: LinearRegex, *, window_chars: int
    ) -> None:
        self._whole = whole
        self._beginning = beginning
        self._character = character
        self._window_chars = window_chars

    def scan(self, window: Window, progress: Progress, *, final: bool) -> tuple[list[Span], Progress]:
        text, at = window.text, progress.decided - window.base
        spans: list[Span] = []
        open_from = self._open_from(text, at, final=final)
        while (span := self._next(text, at, open_from)) is not None:
            spans.append((window.base + span[0], window.base + span[1]))
            at = span[1]
            if at > open_from:
                open_from = self._open_from(text, at, final=final)
        return spans, Progress(window.base + open_from)

    def can_touch(self, replacement: str) -> bool:
        edges = (replacement[0], replacement[-1])
        if any(self._character.fullmatch(edge) is not None for edge in edges):
            return True
        return self._whole.search(replacement, 0) is not None

    def _open_from(self, text: str, at: int, *, final: bool) -> int:
        """The first place from `at` on where a match may begin or grow with what comes next."""
        if final:
            return len(text)
        open_match = self._beginning.search(text, max(at, len(text) - self._window_chars))
        return len(text) if open_match is None else open_match.start()

    def _next(self, text: str, at: int, before: int) -> Span | None:
        """The next match that begins before `before`."""
        while at < before:
            found = self._whole.search(text, at)
            if found is None or found.start() >= before:
                return None
            begin = found.start()
            if found.end() - begin > self._window_chars:
                found = self._whole.match(text, begin, begin + self._window_chars)
            if found is not None:
                return begin, found.end()
            at = begin + 1
        return None
