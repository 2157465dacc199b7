"""The port to where sealed memory is kept, and the place in this process's own memory."""

from typing import Protocol

from agentfield_rt.plane.memory.writes import Drawer, Row, RowKey, Write, fold


class MemoryPlace(Protocol):
    """Blocking storage. `commit`, `open_drawer` and `drop` come from one thread, what reads from others.

    Every method raises `JournalError`s; one raised by `commit` means that nothing is ever stored again. What
    passes by, a lost connection say, `commit` puts into each write instead.
    """

    @property
    def blocking(self) -> bool: ...

    def commit(self, group: list[Write], /) -> list[Write]:
        """Do them in this order, as `fold` decides; durable on return. Returns none."""
        ...

    def tend(self) -> None:
        """Housekeeping when idle."""
        ...

    def open_drawer(self, tag: bytes, key_ref: str) -> str:
        """The reference to the drawer's key: this one if it is new. Durable on return."""
        ...

    def drop(self, tag: bytes, key_ref: str) -> None:
        """Delete a drawer and what is in it, if it still has this key."""
        ...

    def key_ref(self, tag: bytes) -> str | None:
        """Where the drawer's key is; None when there is no drawer."""
        ...

    def load(self, tag: bytes, name: bytes) -> Row | None: ...

    def page(self, tag: bytes, *, after: bytes, limit: int) -> list[Row]:
        """The rows of a drawer by name, from the first one after `after` on."""
        ...

    def drawers(self, *, after: bytes, limit: int) -> list[tuple[bytes, str]]:
        """Tags and key references by tag, from the first one after `after` on."""
        ...

    def close(self) -> None: ...


class OwnMemory:
    """Memory of a process: it is gone when the process ends."""

    blocking = False

    def __init__(self) -> None:
        self._drawers: dict[bytes, Drawer] = {}
        self._rows: dict[RowKey, Row] = {}

    def commit(self, group: list[Write], /) -> list[Write]:
        fold(group, self._drawers, self._rows)
        return []

    def tend(self) -> None:
        """Nothing to do."""

    def open_drawer(self, tag: bytes, key_ref: str) -> str:
        return self._drawers.setdefault(tag, Drawer(0, key_ref)).key_ref

    def drop(self, tag: bytes, key_ref: str) -> None:
        drawer = self._drawers.get(tag)
        if drawer is not None and drawer.key_ref == key_ref:
            del self._drawers[tag]
            self._rows = {key: row for key, row in self._rows.items() if key[0] != tag}

    def key_ref(self, tag: bytes) -> str | None:
        drawer = self._drawers.get(tag)
        return None if drawer is None else drawer.key_ref

    def load(self, tag: bytes, name: bytes) -> Row | None:
        return self._rows.get((tag, name))

    def page(self, tag: bytes, *, after: bytes, limit: int) -> list[Row]:
        rows = (row for (drawer, name), row in self._rows.items() if drawer == tag and name > after)
        return sorted(rows)[:limit]

    def drawers(self, *, after: bytes, limit: int) -> list[tuple[bytes, str]]:
        return sorted((tag, drawer.key_ref) for tag, drawer in self._drawers.items() if tag > after)[:limit]

    def close(self) -> None:
        self._drawers.clear()
        self._rows.clear()
