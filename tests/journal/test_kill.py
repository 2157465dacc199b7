"""A process killed at any moment loses nothing it acknowledged."""

import pytest

from tests.journal.folders import memory_folder
from tests.journal.torture import kill_rounds

ROUNDS = 200


@pytest.mark.asyncio
async def test_a_killed_writer_loses_nothing_it_acknowledged() -> None:
    """In memory: what a process wrote outlives it there as on a disk, of which `make torture` kills more."""
    with memory_folder() as folder:
        assert await kill_rounds(folder, ROUNDS, seed=1) > ROUNDS
