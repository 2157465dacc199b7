"""JSGF text: which words a grammar needs, and how they are said. Knows no decoder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

HEADER = "#JSGF"
GRAMMAR_CHARACTERS_MAX = 20_000

EVERYDAY = """#JSGF V1.0;
grammar everyday;
public <sentence> = hello | goodbye | thank you | yes [please] | no [thank you] | okay | help | stop
    | please | sorry | what time is it | who are you | what can you do | how are you | repeat that [please]
    | tell me a joke | count to <number>;
<number> = one | two | three | four | five | six | seven | eight | nine | ten;
"""

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_HEADER_LINES = re.compile(r"#JSGF[^;]*;|\bgrammar\s+[^;]+;|\bimport\s+[^;]+;")
_NOT_WORDS = re.compile(r"<[^>]*>|/[0-9.]+/|\{[^}]*\}|\bpublic\b")
_WORD = re.compile(r"[A-Za-z0-9'_-]+")
_VOICELESS = {"P", "T", "K", "F", "TH"}
_HISSING = {"S", "Z", "SH", "ZH", "CH", "JH"}


def is_jsgf(prompt: str | None) -> bool:
    """Return whether a transcription prompt is a grammar."""
    return prompt is not None and prompt.lstrip().startswith(HEADER)


def words_of(grammar: str) -> frozenset[str]:
    """Return the lower-case words that a JSGF text can produce."""
    body = _HEADER_LINES.sub(" ", _COMMENT.sub(" ", grammar))
    return frozenset(word.lower() for word in _WORD.findall(_NOT_WORDS.sub(" ", body)))


def cut(dictionary: Iterable[str], words: frozenset[str]) -> dict[str, list[str]]:
    """Return the pronunciations of `words` in a CMU dictionary.

    Args:
        dictionary: Its lines: a word, perhaps with a number in parentheses, then phones.
        words: Those wanted.
    """
    found: dict[str, list[str]] = {}
    for line in dictionary:
        word, _, phones = line.partition(" ")
        word = word.partition("(")[0]
        if word in words:
            found.setdefault(word, []).append(phones.strip())
    return found


def guess(word: str, known: Mapping[str, list[str]]) -> list[str]:
    """Return pronunciations of a word that is a known one with an s, or nothing."""
    stem = word.removesuffix("'s").removesuffix("s")
    if stem == word:
        return []
    return [f"{phones} {_ending(phones.split()[-1])}" for phones in known.get(stem, [])]


def _ending(last_phone: str) -> str:
    if last_phone in _HISSING:
        return "IH Z"
    return "S" if last_phone in _VOICELESS else "Z"
