"""google-re2 as far as rules use it: leftmost-longest, in time linear in the text, memory bounded."""

import functools
import importlib
from typing import Any, Protocol

from agentfield_rt.core.records.rules import Refusal
from agentfield_rt.core.rules.syntax import RefusedRule

MEMORY_BYTES_MAX = 4 * 1024 * 1024
"""For one pattern's program and its automata. When automata outgrow it, matching gets slower, not wrong."""


class Found(Protocol):
    """A match; positions are characters of the text that was searched."""

    def start(self) -> int: ...

    def end(self) -> int: ...


class LinearRegex(Protocol):
    """A compiled pattern. Assertions see the text around `pos` and `endpos`.

    Attributes:
        programsize: Matching takes at most this many steps a character.
    """

    programsize: int

    def search(self, text: str, pos: int) -> Found | None: ...

    def match(self, text: str, pos: int, endpos: int) -> Found | None: ...

    def fullmatch(self, text: str) -> Found | None: ...


def compile_regex(pattern: str) -> LinearRegex:
    """Compile for leftmost-longest matching.

    Raises:
        RefusedRule: google-re2 is not installed, or does not take the pattern.
    """
    re2 = _engine()
    try:
        pattern.encode()
        compiled: LinearRegex = re2.compile(pattern, _options())
    except UnicodeEncodeError:
        raise RefusedRule(Refusal.BAD_PATTERN, "the pattern holds half of a surrogate pair") from None
    except re2.error as error:
        if "too large" in str(error):
            raise RefusedRule(Refusal.PATTERN_TOO_LARGE, "the pattern's program is too large") from None
        raise RefusedRule(Refusal.BAD_PATTERN, "google-re2 does not take the pattern") from None
    return compiled


@functools.cache
def _engine() -> Any:
    try:
        return importlib.import_module("re2")
    except ImportError:
        message = "regular expressions need google-re2; pip install 'agentfield-rt[rules]'"
        raise RefusedRule(Refusal.ENGINE_MISSING, message) from None


def _options() -> Any:
    options = _engine().Options()
    options.longest_match = True
    options.never_capture = True
    options.log_errors = False
    options.max_mem = MEMORY_BYTES_MAX
    return options
