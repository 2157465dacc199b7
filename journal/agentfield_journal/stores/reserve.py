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
            with self._path.open("wb") as file:
                # Zeros written, not a hole: only written blocks are room.
                for _ in range(0, self._size_bytes, 1 << 16):
                    file.write(bytes(1 << 16))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self._path.unlink(missing_ok=True)
            return False
        return True

    def give_up(self) -> bool:
        """Free the room; whether there was any."""
        held = self._path.exists()
        self._path.unlink(missing_ok=True)
        return held
