"""A process killed at any moment loses nothing it acknowledged."""

from pathlib import Path

import pytest

from tests.journal.torture import kill_rounds

ROUNDS = 200


@pytest.mark.timeout(400)
@pytest.mark.asyncio
async def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    assert await kill_rounds(tmp_path, ROUNDS, seed=1) > ROUNDS
