"""Files that must survive a power cut: append and create, each synced with its folder."""

import os
from pathlib import Path


def append_synced(path: Path, data: bytes) -> None:
    """Add `data` to the end of `path` and return when it is on stable storage."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    if fresh:
        sync_folder(path.parent)


def create_private(path: Path, data: bytes) -> None:
    """Make `path`, readable by its owner only, durably.

    Raises:
        FileExistsError: it is there already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)  # half a key or an export is none, and would be in the way of the next
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names created in or removed from `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
