"""`af demo --call`: a recording goes in over WebRTC, turns and what was heard come out."""

import re
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import EXAMPLE, Call, af

REPLY_MS_MAX = 2_000  # that it was measured, not how fast: benchmarks do that, on a quiet machine


def test_a_recorded_caller_is_understood_and_answered(call: Call) -> None:
    assert call.ran.code == 0, call.ran.err
    first, second = call.ran.json["turns"]
    assert set(first) == {"heard", "understood", "said", "reply_ms"}
    assert (first["heard"], first["understood"]) == ("where is order eight", True)
    assert first["said"] == "Order eight is stuck in customs."
    assert second["said"] == "Shall I cancel order twelve?"
    for turn in (first, second):
        # The agent waits 320 ms for more words; nothing can be heard before that.
        assert 300 <= turn["reply_ms"] <= REPLY_MS_MAX


def test_the_result_names_the_journal_and_the_run(call: Call) -> None:
    result = call.ran.json
    assert Path(result["journal"]) == call.data / "journal.db"
    verified = af("journal", "verify", result["run_id"], "--data", result["journal"], "--json")
    assert (verified.code, verified.json["ok"]) == (0, True)


def test_the_reply_holds_both_answers_with_silence_between(call: Call) -> None:
    with wave.open(str(call.reply)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        rate_hz = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(float)
    blocks = samples[: len(samples) // rate_hz * rate_hz].reshape(-1, rate_hz // 10)
    audible = np.sqrt((blocks**2).mean(axis=1)) > 300
    runs = np.flatnonzero(np.diff(np.concatenate([[0], audible.astype(int)])) == 1)
    assert len(runs) >= 2
    assert not audible[: int(runs[0])].any()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "there is no file"),
        (b"this is no sound", "is no sound file that can be read"),
        (b"", "is no sound file that can be read"),
    ],
)
def test_a_recording_that_is_none_is_refused_before_anything_starts(
    tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    path = tmp_path / "caller.wav"
    if content is not None:
        path.write_bytes(content)
    ran = af("demo", "--call", path, "--data", tmp_path / "data")
    assert ran.code == 2
    assert complaint in ran.complaint
    assert str(path) in ran.complaint
    assert not (tmp_path / "data").exists()


def test_the_recording_that_readers_are_told_to_call_with_is_there() -> None:
    from agentfield_rt.cli.demo.recording import RATE_HZ, read_recording

    root = EXAMPLE.parents[1]
    named = {
        re.search(r"--call (\S+)", (root / page).read_text()) for page in ("README.md", "docs/tutorial.md")
    }
    (recording,) = {found[1] for found in named if found is not None}
    assert len(read_recording(root / recording)) > RATE_HZ


def test_a_reply_without_a_call_is_refused(tmp_path: Path) -> None:
    ran = af("demo", "--reply", tmp_path / "reply.wav")
    assert ran.code == 2
    assert "--call" in ran.complaint


def test_a_reply_that_cannot_be_written_is_refused_before_the_call(call: Call, tmp_path: Path) -> None:
    ran = af("demo", "--call", call.reply, "--reply", tmp_path / "no" / "reply.wav", "--data", tmp_path / "d")
    assert ran.code == 2
    assert "there is no folder" in ran.complaint


def test_the_real_service_needs_a_key() -> None:
    ran = af("demo", "--provider", "openai")
    assert ran.code == 2
    assert "OPENAI_API_KEY" in ran.complaint


def test_the_example_runs_with_any_provider_that_has_its_transports() -> None:
    from agentfield_rt.cli.demo.example import example_file, order_desk

    assert example_file() == EXAMPLE
    sessions = order_desk("openai").sessions
    assert {(session.provider, session.transport) for session in sessions.values()} == {
        ("openai", "webrtc"),
        ("openai", "websocket"),
    }
