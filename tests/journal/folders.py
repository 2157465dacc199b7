"""A folder for thousands of small files: in memory where there is such a file system."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def memory_folder() -> Generator[Path]:
    parent = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="journal-", dir=parent) as folder:
        yield Path(folder)
