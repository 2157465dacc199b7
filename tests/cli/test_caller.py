"""The synthetic caller's ears and stopwatch, without a network."""

import wave
from pathlib import Path

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection

from agentfield_rt.audibility import Span
from agentfield_rt.cli.demo.call import reply_ms
from agentfield_rt.cli.demo.call_log import CallLog, CallTurn
from agentfield_rt.cli.demo.peer import BUFFER_ATTRIBUTE
from agentfield_rt.cli.demo.recording import (
    RATE_HZ,
    Samples,
    first_sound,
    read_recording,
    speech_spans,
    write_recording,
)
from agentfield_rt.cli.failures import Failure

SECOND_NS = 1_000_000_000


def sounds(seconds: float, *at: tuple[float, float], noise: float = 0.0) -> Samples:
    """A recording with a tone in each span (start, end), in seconds."""
    samples = np.random.default_rng(3).standard_normal(int(seconds * RATE_HZ)) * noise
    for start, end in at:
        part = slice(int(start * RATE_HZ), int(end * RATE_HZ))
        samples[part] += 6_000 * np.sin(np.arange(part.stop - part.start) * 0.06)
    return samples.astype(np.int16)


@pytest.mark.parametrize("noise", [0.0, 30.0, 180.0])
def test_speech_is_found_in_a_quiet_and_in_a_noisy_room(noise: float) -> None:
    spans = speech_spans(sounds(4.0, (0.5, 1.2), (2.0, 3.1), noise=noise))
    edges = [(span.start / RATE_HZ, span.end / RATE_HZ) for span in spans]
    assert edges == [pytest.approx((0.5, 1.2), abs=0.011), pytest.approx((2.0, 3.1), abs=0.011)]


def test_a_short_pause_is_part_of_the_speech_and_a_click_is_none() -> None:
    spans = speech_spans(sounds(4.0, (0.5, 1.0), (1.2, 1.6), (3.0, 3.02)))
    assert [round(span.end / RATE_HZ, 1) for span in spans] == [1.6]


def test_silence_has_no_speech_and_no_sound() -> None:
    silence = sounds(1.0)
    assert speech_spans(silence) == []
    assert first_sound(silence, Span(0, len(silence))) is None


def test_the_reply_time_is_read_off_the_caller_s_own_recording() -> None:
    spoken = speech_spans(sounds(6.0, (0.4, 1.4)))
    heard = sounds(6.0, (1.85, 3.0))
    turn = CallTurn("hello", understood=True, spoken_until_ns=SECOND_NS * 14 // 10)
    turn.answer_started_ns = SECOND_NS * 184 // 100
    assert reply_ms(turn, spoken, heard, started_ns=0) == pytest.approx(450, abs=11)


def test_an_answer_that_still_sounds_is_not_the_next_turn_s_reply() -> None:
    spoken = speech_spans(sounds(8.0, (0.4, 1.0), (2.0, 2.6)))
    heard = sounds(8.0, (1.4, 2.8), (3.1, 4.0))  # the first answer goes on a little after the caller cut in
    turn = CallTurn("stop", understood=True, spoken_until_ns=SECOND_NS * 26 // 10)
    turn.answer_started_ns = SECOND_NS * 309 // 100
    assert reply_ms(turn, spoken, heard, started_ns=0) == pytest.approx(500, abs=11)


def test_a_turn_without_an_answer_has_no_reply_time() -> None:
    turn = CallTurn("hello", understood=True, spoken_until_ns=SECOND_NS)
    assert reply_ms(turn, [Span(0, RATE_HZ)], sounds(3.0), started_ns=0) is None


@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (16_000, 1), (44_100, 2), (48_000, 6)])
def test_recordings_of_any_rate_and_channels_are_read(tmp_path: Path, rate_hz: int, channels: int) -> None:
    path = tmp_path / "tone.wav"
    tone = (6_000 * np.sin(np.arange(rate_hz) * 0.05)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat(tone, channels).tobytes())
    samples = read_recording(path)
    assert len(samples) == pytest.approx(RATE_HZ, rel=0.01)
    assert 3_000 < np.abs(samples).max() < 12_000


def test_a_recording_without_samples_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    write_recording(path, np.zeros(0, dtype=np.int16))
    with pytest.raises(Failure, match=r"empty|no sound"):
        read_recording(path)


@pytest.mark.asyncio
async def test_this_aiortc_has_the_receive_buffer_that_the_caller_replaces() -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    assert hasattr(connection.addTransceiver("audio").receiver, BUFFER_ATTRIBUTE)
    await connection.close()


@pytest.mark.asyncio
async def test_a_call_is_quiet_once_every_turn_and_utterance_is_over() -> None:
    log = CallLog()

    def record(kind: str, turn_id: str | None = "t1", **data: object) -> None:
        content = {"heard": "Order one is packed."}
        log.take({"kind": kind, "turn_id": turn_id, "at_ms": 1_000.0, "data": data, "content": content})

    record("turn_started", op_id="t1", understood=True)
    assert not log.is_quiet
    record("utterance_requested", op_id="u1")
    record("turn_completed", op_id="t1")
    assert not log.is_quiet
    record("utterance_played", op_id="u1", heard_ref="heard")
    await log.until(lambda: log.is_quiet)
    assert log.turns["t1"].said == ["Order one is packed."]


@pytest.mark.asyncio
async def test_whoever_waits_for_a_broken_event_stream_is_told() -> None:
    log = CallLog()
    log.fail(Failure("the stream broke"))
    with pytest.raises(Failure, match="the stream broke"):
        await log.until_over()
