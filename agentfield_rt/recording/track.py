"""One side of a recording on the recording's clock. Pure: times come in as samples."""

from collections import deque

SAMPLE_BYTES = 2


class Track:
    """Audio with a place in time; what nobody said is silence.

    Args:
        jitter_samples: Audio that comes up to so much later than it would follow on is taken to follow on.

    Attributes:
        end: Behind the last of its audio, in samples.
    """

    def __init__(self, *, jitter_samples: int = 0) -> None:
        self.end = 0
        self._jitter = jitter_samples
        self._taken = 0
        self._pieces: deque[tuple[int, bytes]] = deque()

    def place(self, at: int, pcm: bytes) -> None:
        """Put audio that came at `at` behind what is there, after a silence if there was one."""
        if at - self.end > self._jitter:
            self.end = at
        self._pieces.append((self.end, pcm))
        self.end += len(pcm) // SAMPLE_BYTES

    def cut(self, at: int) -> None:
        """Forget what would sound from `at` on; what was taken stays."""
        if at >= self.end:
            return
        self.end = max(at, self._taken)
        while self._pieces and self._pieces[-1][0] >= self.end:
            self._pieces.pop()
        if self._pieces:
            start, pcm = self._pieces.pop()
            self._pieces.append((start, pcm[: (self.end - start) * SAMPLE_BYTES]))

    def take(self, until: int) -> bytes:
        """The sound from where the last one ended to `until`."""
        sound = bytearray((until - self._taken) * SAMPLE_BYTES)
        while self._pieces and self._pieces[0][0] < until:
            start, pcm = self._pieces.popleft()
            room_bytes = (until - start) * SAMPLE_BYTES
            if len(pcm) > room_bytes:
                self._pieces.appendleft((until, pcm[room_bytes:]))
                pcm = pcm[:room_bytes]
            first = (start - self._taken) * SAMPLE_BYTES
            sound[first : first + len(pcm)] = pcm
        self._taken = until
        self.end = max(self.end, until)  # what comes now cannot sound earlier
        return bytes(sound)
