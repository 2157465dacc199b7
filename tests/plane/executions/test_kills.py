"""A plane that gets SIGKILL in mid-work loses none of it, tells of all, and does none again after its end."""

import asyncio
from pathlib import Path

from tests.plane.executions.kills import campaign

ROUNDS = 10


def test_what_was_accepted_survives_a_killed_plane_is_told_and_not_done_again_after_its_end(
    tmp_path: Path,
) -> None:
    told = asyncio.run(campaign(ROUNDS, tmp_path))
    assert told.kills == ROUNDS
    assert len(told.accepted) > ROUNDS
    assert not told.lost(), told
    assert not told.again, told
    assert not told.untold(), told
    assert not told.told_otherwise(), told
