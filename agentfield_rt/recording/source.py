"""Where a recording's sound comes from: the journal's windows, digested a second time. Pure."""

from hashlib import sha256

from agentfield_rt.core.records import RecordedSide


class Source:
    """One side's windows, from the audio that goes into the recording and not from the journal.

    Attributes:
        total: The windows that are complete.
    """

    def __init__(self) -> None:
        self.total = RecordedSide()
        self._begin()

    def _begin(self) -> None:
        self._digest = sha256()
        self._frames = 0
        self._size_bytes = 0

    def add(self, pcm: bytes) -> None:
        """Take the next frame of the window."""
        self._digest.update(pcm)
        self._frames += 1
        self._size_bytes += len(pcm)

    def end_window(self) -> None:
        """The journal has a record of the window that ends here."""
        self.total = RecordedSide(
            windows=self.total.windows + 1,
            frames=self.total.frames + self._frames,
            size_bytes=self.total.size_bytes + self._size_bytes,
            digest=sha256(self.total.digest + self._digest.digest()).digest(),
        )
        self._begin()
