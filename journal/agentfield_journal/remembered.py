"""Which records a run has, so that one that is appended again is told from a new one; in little room.

An id that ends in its record's own place, as `7.42` of the 42nd, takes none in the long run: all that follow
each other under one name are known by the first and the last. Other ids are kept while the run is open.
"""

from agentfield_journal.codec import Seen

NEWEST_MIN = 32
"""Records of which the content is known as well, besides those that are not durable and the last batch."""


class Remembered:
    """The records of one run by record id.

    Attributes:
        newest: The last ones.
        others: Older ones whose ids say nothing of their place.
        ranges: Name, first and last place of those of which nothing else is known; in order of places.
    """

    __slots__ = ("newest", "others", "ranges")

    def __init__(self) -> None:
        self.newest: dict[str, Seen] = {}
        self.others: dict[str, Seen] = {}
        self.ranges: list[tuple[str, int, int]] = []

    def get(self, record_id: str) -> Seen | None:
        """The record; None: it is new, or was forgotten."""
        return self.newest.get(record_id) or self.others.get(record_id)

    def forget_old(self, *, durable_seq: int) -> None:
        """Make room: what is durable, and not of the newest, is hardly appended again."""
        if not self.newest or next(iter(self.newest.values())).seq + NEWEST_MIN > durable_seq:
            return  # not worth it
        items = list(self.newest.items())
        name, first, last = self.ranges.pop() if self.ranges else ("", 0, -1)
        kept_from = 0
        for record_id, seen in items[:-NEWEST_MIN]:
            place = seen.seq
            if place > durable_seq:
                break
            kept_from += 1
            if place == last + 1 and record_id == f"{name}.{place}":
                last = place
            elif record_id.endswith(f".{place}"):
                if first:
                    self.ranges.append((name, first, last))
                name, first, last = record_id.removesuffix(f".{place}"), place, place
            else:
                self.others[record_id] = seen
        if first:
            self.ranges.append((name, first, last))
        self.newest.clear()
        self.newest.update(items[kept_from:])

    def is_in_a_range(self, record_id: str) -> bool:
        """Whether it is one of those of which nothing else is known."""
        name, dot, written = record_id.rpartition(".")
        if not (dot and written.isascii() and written.isdecimal()):
            return False
        # As text: a number may have so many digits that reading it takes a while.
        return any(
            known == name
            and len(written) <= len(str(last))
            and first <= int(written) <= last
            and written[0] != "0"
            for known, first, last in self.ranges
        )
