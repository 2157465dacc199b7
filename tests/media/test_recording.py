"""A recording holds what both sides heard, where they heard it, and says which windows that came from."""

import asyncio
import io
import threading
from hashlib import sha256
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfield_adapters.media.recording import OggOpusEncoder
from agentfield_journal import ContentStore, JournalUnavailable
from agentfield_rt.audit import audit
from agentfield_rt.core import records
from agentfield_rt.core.records import RecordedSide
from agentfield_rt.errors import ProviderError, Reason, RecordingUnavailable
from agentfield_rt.frames import SAMPLE_RATE_HZ, AudioFrame
from agentfield_rt.recording import RecordingStatus, desk, recording
from agentfield_rt.recording.track import Track
from agentfield_rt.testing import run, time_passes
from tests.media.recorded_call import KeepingEncoder, RecordedCall, frame, heard, recorded_call

# The clock of one side.

PLACES = st.tuples(st.integers(0, 300), st.integers(0, 60))


@given(st.lists(st.one_of(st.tuples(st.just("place"), PLACES), st.tuples(st.just("cut"), PLACES))), st.data())
def test_a_track_sounds_like_a_tape_that_somebody_writes_on(
    steps: list[tuple[str, tuple[int, int]]], data: st.DataObject
) -> None:
    track, tape, end, taken, now = Track(jitter_samples=20), np.zeros(100_000, np.int16), 0, 0, 0
    for number, (step, (later, length)) in enumerate(steps, 1):
        now += later
        if step == "place":
            end = now if now - end > 20 else end
            tape[end : end + length] = number
            track.place(now, np.full(length, number, "<i2").tobytes())
            end += length
        elif now < end:
            end = max(now, taken)
            tape[end:] = 0
            track.cut(now)
        if data.draw(st.booleans()):
            until = max(now - 20, taken)
            assert np.array_equal(np.frombuffer(track.take(until), "<i2"), tape[taken:until])
            taken, end = until, max(end, until)
        assert track.end == end
    assert np.array_equal(np.frombuffer(track.take(end), "<i2"), tape[taken:end])


def test_silence_between_two_words_is_as_long_as_it_was() -> None:
    async def talk() -> None:
        async with recorded_call() as call:
            await call.speaks(frames=5)
            await time_passes(1.0)
            await call.speaks(frames=5)
            await call.end()
            caller, _ = await call.sides()
            assert heard(caller) == list(range(10))
            first = int(np.flatnonzero(caller == 1)[0])
            second = int(np.flatnonzero(caller == 6)[0])
            assert second - first == round(1.1 * SAMPLE_RATE_HZ)

    run(talk(), threads="inline")


def test_the_caller_is_on_the_left_and_what_the_caller_heard_on_the_right() -> None:
    async def talk() -> None:
        async with recorded_call() as call:
            call.answer(frames=10)
            await call.speaks(frames=25)
            await call.end()
            caller, agent = await call.sides()
            assert heard(caller) == list(range(25))
            assert heard(agent) == list(range(1_000, 1_010))

    run(talk(), threads="inline")


def test_an_answer_that_is_cut_off_ends_where_the_caller_stopped_hearing_it() -> None:
    async def talk() -> None:
        async with recorded_call() as call:
            call.answer(frames=100)
            await call.speaks(frames=30)
            await call.cut()
            await call.speaks(frames=30)
            await call.end()
            _, agent = await call.sides()
            sounded = int(np.flatnonzero(agent)[-1]) + 1
            assert sounded == round(0.6 * SAMPLE_RATE_HZ)

    run(talk(), threads="inline")


def plays(recorded: bytes) -> tuple[str, str, float]:
    """Codec and layout of a file, and how many seconds a player plays it."""
    opened: Any = av.open(io.BytesIO(recorded))
    with opened as container:
        stream = container.streams.audio[0]
        samples = sum(decoded.samples for decoded in container.decode(stream))
        return stream.codec_context.name, stream.layout.name, samples / 48_000  # Opus comes out at 48 kHz


def test_what_nobody_is_handed_is_not_kept_for_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "UNHEARD_BYTES_MAX", 10_000)

    async def talk() -> None:
        async with recorded_call(listens=False) as call:
            call.answer(frames=100)
            await call.speaks(frames=100)
            await call.end()
            caller, agent = await call.sides()
            assert (heard(caller), heard(agent)) == (call.spoken, [])
            assert (await call.recording()).status is RecordingStatus.STORED

    run(talk(), threads="inline")


def test_a_recording_is_an_opus_file_that_plays_and_is_as_long_as_the_call() -> None:
    async def talk() -> None:
        async with recorded_call(OggOpusEncoder) as call:
            call.answer(frames=100)
            await call.speaks(frames=1_250)
            await call.end()
            kept, data = await call.recording(), await call.file()
            assert (kept.status, len(kept.refs), kept.samples) == (RecordingStatus.STORED, 3, 600_000)
            assert kept.digest == sha256(data).digest()
            assert plays(data) == ("opus", "stereo", 25.0)
            for pieces in range(1, len(kept.refs)):
                beginning = b"".join([await call.content.get(ref) for ref in kept.refs[:pieces]])
                assert plays(beginning)[2] > 10 * pieces - 2

    run(talk(), threads="inline")


def test_a_crash_would_take_no_more_than_twelve_seconds_of_it() -> None:
    async def talk() -> None:
        async with recorded_call(OggOpusEncoder) as call:
            for second in range(1, 24):
                await call.speaks(frames=50)
                kept = await call.recording()
                data = b"".join([await call.content.get(ref) for ref in kept.refs])
                assert second - (plays(data)[2] if data else 0) <= 12.5

    run(talk(), threads="inline")


# Where it comes from.

Step = tuple[str, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("speaks"), st.integers(1, 40)),
        st.tuples(st.just("floods"), st.integers(1, 40)),
        st.tuples(st.just("answer"), st.integers(1, 120)),
        st.tuples(st.just("begin"), st.integers(1, 60)),
        st.tuples(st.just("more"), st.integers(1, 60)),
        st.tuples(st.just("cut"), st.just(0)),
        st.tuples(st.just("drop"), st.just(0)),
        st.tuples(st.just("hold"), st.integers(1, 30)),
        st.tuples(st.just("fail"), st.integers(1, 30)),
        st.tuples(st.just("passes"), st.integers(1, 200)),
    ),
    min_size=1,
    max_size=12,
)


async def follow(call: RecordedCall, steps: list[Step]) -> None:
    """A call in which frames overlap, wait, fail, get lost with their connection and are cut off."""
    for step, amount in steps:
        match step:
            case "speaks":
                await call.speaks(frames=amount)
            case "floods":
                await call.speaks(frames=amount, waits=False)
            case "answer":
                call.answer(frames=amount)
                await time_passes(0.01)
            case "begin":
                call.answer(frames=amount, ends=False)
                await time_passes(0.01)
            case "more" if call.answers:
                call.more(frames=amount)
                await time_passes(0.01)
            case "cut":
                await call.cut()
            case "drop":
                call.adapter.drop()
                await time_passes(0)
            case "hold":
                held = call.adapter.hold("send")
                await call.speaks(frames=amount, waits=False)
                held.release()
            case "fail":
                held = call.adapter.hold("send")
                await call.speaks(frames=amount, waits=False)
                held.fail(ProviderError("the test says so", reason=Reason.UNAVAILABLE))
            case _:
                await time_passes(amount / 50)


async def a_recorded_call(steps: list[Step]) -> None:
    async with recorded_call() as call:
        await follow(call, steps)
        sounded = [pcm for _, pcm in call.ear.sounding]
        await call.end()
        report = audit(await call.envelopes())
        assert not report.findings, report.findings
        history = await call.records()
        stored = [each for each in history if isinstance(each, records.RecordingStored)]
        assert len(stored) == 1, [each for each in history if each.kind.startswith("recording")]
        windows = [each.window for each in history if isinstance(each, _SENT) and each.window is not None]
        assert stored[0].caller == chain(windows)
        came = [each.audio for each in history if isinstance(each, records.OutputReceived) and each.audio]
        assert stored[0].agent == chain(came)
        caller, agent = await call.sides()
        assert heard(caller) == call.spoken
        assert len(caller) == stored[0].samples
        played = [int(np.frombuffer(pcm, "<i2")[0]) - 1 for pcm in sounded]
        in_time = heard(agent)
        assert in_time == played[: len(in_time)]
        assert len(played) - len(in_time) <= 7  # handed over ahead of time, and the call was over first


_SENT = (records.InputSent, records.InputSendFailed, records.InputSendUnknown)


def chain(windows: list[records.WindowTally]) -> RecordedSide:
    """What the docs say a side's digest is."""
    digest = bytes(32)
    for window in windows:
        digest = sha256(digest + window.digest).digest()
    return RecordedSide(
        windows=len(windows),
        frames=sum(window.frames for window in windows),
        size_bytes=sum(window.size_bytes for window in windows),
        digest=digest,
    )


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_what_went_into_a_recording_is_what_the_windows_hold_whatever_happens(steps: list[Step]) -> None:
    run(a_recorded_call(steps), threads="inline")


# A recording that goes wrong is no business of the call.


async def give_up(call: RecordedCall, reason: Reason) -> None:
    """The recording is given up for this reason, and the call goes on as if nothing had been."""
    await call.speaks(frames=150)
    call.answer(frames=5)
    await time_passes(0.5)
    assert len(call.ear.sounding) >= 5
    await call.end()
    failed = [each for each in await call.records() if isinstance(each, records.RecordingFailed)]
    assert [each.reason for each in failed] == [reason]
    assert not audit(await call.envelopes()).findings
    sent = [each for each in call.adapter.sent if isinstance(each, AudioFrame)]
    assert len(sent) == 150


class BrokenEncoder(KeepingEncoder):
    """Cannot encode."""

    def encode(self, caller: bytes, agent: bytes) -> bytes:
        raise OSError("no such codec")


def test_an_encoder_that_breaks_costs_the_recording_and_not_the_call() -> None:
    async def talk() -> None:
        async with recorded_call(BrokenEncoder) as call:
            await give_up(call, Reason.INTERNAL)

    run(talk(), threads="inline")


def test_a_content_store_that_takes_nothing_costs_the_recording_and_not_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuses(self: ContentStore, ref: str) -> None:
        raise JournalUnavailable("the disk is gone")

    async def talk() -> None:
        async with recorded_call() as call:
            monkeypatch.setattr(type(call.content), "durable", refuses)
            await give_up(call, Reason.UNAVAILABLE)

    monkeypatch.setattr(recording, "SEGMENT_SAMPLES", SAMPLE_RATE_HZ)
    run(talk(), threads="inline")


def test_too_much_audio_that_waits_costs_the_recording_and_not_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recording, "NOTED_BYTES_MAX", 10_000)

    async def talk() -> None:
        async with recorded_call() as call:
            await give_up(call, Reason.OVERFLOW)

    run(talk(), threads="inline")


def test_an_encoder_that_hangs_neither_delays_a_frame_nor_keeps_the_session_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In real time and a real thread: the thread stands still until the call is over."""
    over = threading.Event()

    class HungEncoder(KeepingEncoder):
        def encode(self, caller: bytes, agent: bytes) -> bytes:
            over.wait(30)
            return b""

    monkeypatch.setattr(recording, "CLOSE_MAX_S", 0.1)

    async def talk() -> None:
        async with recorded_call(HungEncoder) as call:
            for number in range(50):
                await call.session.hear_audio(frame(number))
            await call.end()
            failed = [each for each in await call.records() if isinstance(each, records.RecordingFailed)]
            assert [each.reason for each in failed] == [Reason.TIMEOUT]
        over.set()

    try:
        asyncio.run(talk())
    finally:
        over.set()


# Who is told.


def test_a_host_that_cannot_record_refuses_a_session_that_is_to_be_recorded() -> None:
    async def talk() -> None:
        async with recorded_call() as call:
            services = call.session._services  # pyright: ignore[reportPrivateUsage]
            spec = call.session.spec
            assert services.recordings is not None
            object.__setattr__(services, "recordings", None)
            with pytest.raises(RecordingUnavailable):
                type(call.session)(
                    spec,
                    call.session._run,  # pyright: ignore[reportPrivateUsage]
                    controller=call.session._controller,  # pyright: ignore[reportPrivateUsage]
                    services=services,
                    handler=None,
                )

    run(talk(), threads="inline")
