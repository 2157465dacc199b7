"""What flows under one intent, counted. Knows no adapter and no disk."""

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from agentfield_journal.envelope import Cursor
from agentfield_rt.core.records import WindowTally
from agentfield_rt.frames import BYTES_PER_MS

if TYPE_CHECKING:
    from _hashlib import HASH


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """How much one operation may cover.

    Attributes:
        frames_max: Frames of user audio under one intent; 1 gives every frame its own. After a crash so
            many may be in doubt.
        events_max: Provider events under one intent; None gives every receive its own, of as many events
            as it demands.
        period_s: What flowed is recorded after so long at the latest.
    """

    frames_max: int = 600
    events_max: int | None = 512
    period_s: float = 6.0


EACH = Windows(frames_max=1, events_max=None)
"""Every frame and every receive is an operation of its own, as in the reference journal core."""


class Allowance:
    """How much may still flow before a further intent is durable.

    A window is renewed when half of it has flowed, so that the next intent is on the disk long before
    it is needed; what flows never waits for it, unless the disk takes longer than half a window.

    Attributes:
        left: What may flow now; every frame asks.
    """

    __slots__ = ("_limit", "_promises", "_size", "left")

    def __init__(self, size: int) -> None:
        self.left = size
        self._size = size
        self._limit = size
        self._promises: list[tuple[Cursor, int]] = []

    @property
    def promised(self) -> Cursor | None:
        """The intent to wait for once nothing is left; None: it has not been written."""
        return self._promises[0][0] if self._promises else None

    def spend(self, amount: int) -> None:
        self.left -= amount

    def promise(self, cursor: Cursor) -> None:
        """A further intent was written at `cursor`. The oldest one that is owed is kept first.

        That one has been durable for half a window when it is needed, while the latest may have been
        written with the last frame that was allowed; the ones between add nothing.
        """
        flowed = self._limit - self.left
        del self._promises[1:]
        self._promises.append((cursor, flowed + self._size))

    def keep(self, cursor: Cursor) -> None:
        """The intent at `cursor` is durable."""
        if self._promises and self._promises[0][0] == cursor:
            limit = self._promises.pop(0)[1]
            self.left += limit - self._limit
            self._limit = limit


class Tally:
    """The audio that flowed: mono int16 PCM at 24 kHz."""

    __slots__ = ("_digest", "frames", "size_bytes")

    def __init__(self) -> None:
        self.frames = 0
        self.size_bytes = 0
        self._digest: HASH | None = None  # takes more memory than all else here, so it waits for a frame

    def add(self, pcm: bytes) -> None:
        self.frames += 1
        self.size_bytes += len(pcm)
        if self._digest is None:
            self._digest = sha256()
        self._digest.update(pcm)

    def total(self) -> WindowTally:
        return WindowTally(
            frames=self.frames,
            size_bytes=self.size_bytes,
            duration_ms=self.size_bytes // BYTES_PER_MS,
            digest=(self._digest or sha256()).digest(),
        )
