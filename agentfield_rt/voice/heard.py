"""What the caller heard of an utterance, from what was transcribed when and how long it played."""

import re

FASTEST_SPEECH_CHARS_PER_S = 22
"""Transcripts of some providers run ahead of the audio; nobody speaks faster than this."""

CHARACTERS_MAX = 50_000
"""Of one utterance, which is five minutes at most; what a provider sends beyond that nobody hears."""

_WORD = re.compile(r"\S+")


class HeardText:
    """Pieces of a transcript, each with the place in the audio where it begins."""

    def __init__(self) -> None:
        self._pieces: list[tuple[int, str]] = []
        self._characters = 0
        self._audio_ms: int | None = None

    def append(self, text: str, *, audio_ms: int) -> None:
        """Add a piece that begins at or before `audio_ms` of the utterance's audio, while there is room."""
        piece = text[: CHARACTERS_MAX - self._characters]
        if piece:
            self._characters += len(piece)
            self._pieces.append((audio_ms, piece))

    def finish(self, *, audio_ms: int) -> None:
        """All of the text is here, and so much audio belongs to it."""
        self._audio_ms = audio_ms

    @property
    def is_finished(self) -> bool:
        """Whether no more text comes."""
        return self._audio_ms is not None

    @property
    def whole(self) -> str:
        return "".join(text for _, text in self._pieces).strip()

    def until(self, heard_ms: int) -> str:
        """The words begun within the first `heard_ms`."""
        begun = "".join(text for audio_ms, text in self._pieces if audio_ms < heard_ms)
        plausible = heard_ms * FASTEST_SPEECH_CHARS_PER_S // 1000
        if self._audio_ms:  # then it is known how fast this one is
            everything = sum(len(text) for _, text in self._pieces)
            plausible = everything * min(heard_ms, self._audio_ms) // self._audio_ms
        if len(begun) > plausible:
            begun = begun[:plausible].rpartition(" ")[0]
        return begun.strip()


def after_words(text: str, count: int) -> str:
    """What follows the first `count` words of `text`."""
    words = list(_WORD.finditer(text))
    return text[words[count].start() :] if count < len(words) else ""
