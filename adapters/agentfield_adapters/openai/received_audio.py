"""How much audio has come of a response, of which item and part, in the order in which it is played. Pure."""

from dataclasses import dataclass
from typing import NamedTuple

RUNS_MAX = 1_024
"""Changes between items that are kept apart; no model comes near it. What is beyond counts as one."""


class Cut(NamedTuple):
    """What the conversation keeps of an item's audio: `keep_ms` of one part, or nothing of the whole item."""

    item_id: str
    keep_ms: int
    content_index: int | None = None


@dataclass(slots=True)
class _Run:
    """Audio of one part that came in one piece."""

    item_id: str
    content_index: int
    size_bytes: int


class ReceivedAudio:
    """The audio of one response. It is kept after the end, because what was generated plays long after.

    Args:
        bytes_per_ms: Of the format in which it came.
    """

    __slots__ = ("_bytes_per_ms", "_kept_ms", "_runs")

    def __init__(self, bytes_per_ms: int) -> None:
        self._bytes_per_ms = bytes_per_ms
        self._runs: list[_Run] = []
        self._kept_ms: dict[tuple[str, int], int] = {}

    def add(self, item_id: str, content_index: int, size_bytes: int) -> None:
        """So many bytes more came of a part; their place in the playback is behind all others."""
        if self._runs:
            last = self._runs[-1]
            is_same = last.item_id == item_id and last.content_index == content_index
            if is_same or len(self._runs) >= RUNS_MAX:
                last.size_bytes += size_bytes
                return
        self._runs.append(_Run(item_id, content_index, size_bytes))

    @property
    def last_item_id(self) -> str | None:
        """Whose audio came last."""
        return self._runs[-1].item_id if self._runs else None

    def has(self, item_id: str) -> bool:
        """Whether any of it belongs to this item."""
        return any(run.item_id == item_id for run in self._runs)

    def cuts(self, heard_ms: int) -> list[Cut]:
        """What to cut so that only what was heard remains; what was cut before, only if more of it goes."""
        received: dict[tuple[str, int], int] = {}
        heard: dict[tuple[str, int], int] = {}
        left_bytes = max(heard_ms, 0) * self._bytes_per_ms
        for run in self._runs:
            part = (run.item_id, run.content_index)
            heard_bytes = min(run.size_bytes, left_bytes)
            left_bytes -= heard_bytes
            received[part] = received.get(part, 0) + run.size_bytes
            heard[part] = heard.get(part, 0) + heard_bytes
        cuts: list[Cut] = []
        removed: set[str] = set()
        for part, size_bytes in received.items():
            item_id, content_index = part
            known_ms = self._kept_ms.get(part, size_bytes // self._bytes_per_ms)
            keep_ms = heard[part] // self._bytes_per_ms
            if keep_ms >= known_ms:
                continue
            self._kept_ms[part] = keep_ms
            if any(heard[other] for other in received if other[0] == item_id):
                cuts.append(Cut(item_id, keep_ms, content_index))
            elif item_id not in removed:
                removed.add(item_id)
                cuts.append(Cut(item_id, 0))
        return cuts
