"""That the benchmarks of the session core still run; what they find is no test's business."""

import asyncio

import pytest

from benchmarks import frame_path, idle_sessions, session_peers


def test_the_cost_of_a_frame_is_told_beside_its_bars(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(frame_path.main(frames=20, rounds=1))
    told = capsys.readouterr().out
    assert [line.split("  ")[0] for line in told.splitlines()] == [
        "bare asyncio.Queue hop",
        *(name for name, _, _ in frame_path.CASES),
    ]


def test_an_audio_event_is_followed_to_the_writer_and_absent_peers_are_said_to_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    session_peers.main(None, events=20, rounds=1)
    told = capsys.readouterr().out
    assert told.count("this ") == 2
    assert told.count("not installed") == len(session_peers.PEERS)


def test_idle_sessions_take_memory_and_are_counted_in_a_process_of_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    idle_sessions.main(None, sessions=30)
    assert "30 sessions" in capsys.readouterr().out
