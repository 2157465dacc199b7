"""An advisory lock that keeps a second writing process away from a file. Knows nothing of its content."""

import fcntl
import os
from pathlib import Path

from agentfield_journal.errors import JournalConflict


class FileLock:
    """Holds `<path>.lock` until released; the kernel drops it when the process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            JournalConflict: another process (or another journal object of this one) holds it.
        """
        self._path = path.with_name(path.name + ".lock")
        # Opened without truncation: the holder's pid must stay readable for whoever is refused.
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._fd, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            self._fd = -1
            raise JournalConflict(
                f"{path} is being written by process {holder}; stop it, or open with read_only=True"
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Idempotent. The file stays: removing it would let two processes lock different files."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
