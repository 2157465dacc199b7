"""Disk space kept back for the records that close what is open when the disk fills up."""

import os
from pathlib import Path

RESERVE_BYTES = 4 << 20


class Reserve:
    """Holds `<path>.reserve`, a file of real blocks, until the room is needed."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path.with_name(path.name + ".reserve")
        self._size_bytes = size_bytes

    @property
    def held(self) -> bool:
        return self._path.exists() and self._path.stat().st_size == self._size_bytes

    def take(self) -> bool:
        """Try to hold the room; whether there is enough of it."""
        if self.held:
            return True
        try:
            self._path.unlink(missing_ok=True)
            append_zeros(self._path, self._size_bytes)
        except OSError:
            self._path.unlink(missing_ok=True)
            return False
        return True

    def give_up(self) -> bool:
        """Free the room; whether there was any."""
        held = self._path.exists()
        self._path.unlink(missing_ok=True)
        return held


def append_zeros(path: Path, size_bytes: int) -> None:
    """Make a file longer, on the disk too: only written blocks are room, a hole is not.

    Raises:
        OSError: there is no room; the file is as long as before.
    """
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            while size_bytes > 0:
                size_bytes -= file.write(bytes(min(size_bytes, 1 << 16)))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            raise
