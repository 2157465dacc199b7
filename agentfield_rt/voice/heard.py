"""What the caller heard of an utterance, from what was transcribed when and how long it played."""

FASTEST_SPEECH_CHARS_PER_S = 22
"""Transcripts of some providers run ahead of the audio; nobody speaks faster than this."""


class HeardText:
    """Pieces of a transcript, each with the place in the audio where it begins."""

    def __init__(self) -> None:
        self._pieces: list[tuple[int, str]] = []

    def append(self, text: str, *, audio_ms: int) -> None:
        """Add a piece that begins at or before `audio_ms` of the utterance's audio."""
        self._pieces.append((audio_ms, text))

    @property
    def whole(self) -> str:
        return "".join(text for _, text in self._pieces).strip()

    def until(self, heard_ms: int) -> str:
        """The words begun within the first `heard_ms`."""
        begun = "".join(text for audio_ms, text in self._pieces if audio_ms < heard_ms)
        plausible = heard_ms * FASTEST_SPEECH_CHARS_PER_S // 1000
        if len(begun) > plausible:
            begun = begun[:plausible].rpartition(" ")[0]
        return begun.strip()
