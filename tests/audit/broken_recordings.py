"""Recordings that do not hold what the journal's windows hold, or of which a piece is missing."""

from hashlib import sha256

from msgspec.structs import replace

from agentfield_journal import Envelope
from agentfield_rt.audit import Code
from agentfield_rt.core import records
from agentfield_rt.core.records import RecordedSide
from tests.audit.mutations import breaks, changed
from tests.audit.story import chained, index_of, spliced, window

RECORDING_ID = "rec_1"
CALLER = RecordedSide(
    windows=1, frames=50, size_bytes=48_000, digest=sha256(bytes(32) + window(50).digest).digest()
)
OTHER = RecordedSide(windows=1, frames=50, size_bytes=48_000, digest=sha256(b"other").digest())


def piece(number: int, samples: int, caller: RecordedSide) -> records.RecordingSegmentStored:
    return records.RecordingSegmentStored(
        recording_id=RECORDING_ID,
        number=number,
        content_ref=f"ref.piece{number}",
        samples=samples,
        digest=bytes([number]) * 32,
        caller=caller,
        agent=RecordedSide(),
    )


def recorded(story: list[Envelope]) -> list[Envelope]:
    """The story as a call that was recorded, in two pieces: before and behind its one window of audio."""
    stored = records.RecordingStored(
        op_id=RECORDING_ID,
        segments=2,
        samples=48_000,
        digest=bytes([2]) * 32,
        caller=CALLER,
        agent=RecordedSide(),
    )
    started = records.RecordingStarted(op_id=RECORDING_ID, format="ogg_opus")
    told = spliced(story, index_of(story, "session_ended"), insert=[piece(2, 48_000, CALLER), stored])
    told = spliced(told, index_of(told, "realtime_input_sent"), insert=[piece(1, 240, RecordedSide())])
    told = spliced(told, index_of(told, "realtime_input_send_requested"), insert=[started])
    numbered = [replace(each, record_id=f"9.{each.seq}") if _inserted(each) else each for each in told]
    opener = numbered[index_of(numbered, "recording_started")].record_id
    at = index_of(numbered, "recording_stored")
    numbered[at] = replace(numbered[at], request_record_id=opener)
    return chained(numbered)


def _inserted(envelope: Envelope) -> bool:
    return envelope.record_id.startswith("inserted")


@breaks(Code.RECORDING_DIFFERS)
def a_recording_holds_other_audio_than_its_windows(story: list[Envelope]) -> list[Envelope]:
    story = changed(recorded(story), "recording_stored", caller=OTHER)
    at = index_of(story, "recording_stored") - 1
    return [*story[:at], *changed(story[at:], "recording_segment_stored", caller=OTHER)]


@breaks(Code.RECORDING_DIFFERS)
def a_recording_counts_a_window_that_is_not_there(story: list[Envelope]) -> list[Envelope]:
    return changed(recorded(story), "recording_segment_stored", caller=CALLER)


@breaks(Code.RECORDING_DIFFERS)
def a_piece_of_a_recording_is_missing(story: list[Envelope]) -> list[Envelope]:
    told = recorded(story)
    return spliced(told, index_of(told, "recording_segment_stored"), drop=1)


@breaks(Code.RECORDING_DIFFERS)
def the_last_piece_of_a_recording_is_missing(story: list[Envelope]) -> list[Envelope]:
    told = recorded(story)
    return spliced(told, index_of(told, "recording_stored") - 1, drop=1)


@breaks(Code.RECORDING_DIFFERS)
def a_recording_becomes_shorter(story: list[Envelope]) -> list[Envelope]:
    return changed(recorded(story), "recording_segment_stored", samples=48_001)


@breaks(Code.RECORDING_DIFFERS)
def a_recording_ends_otherwise_than_its_last_piece(story: list[Envelope]) -> list[Envelope]:
    return changed(recorded(story), "recording_stored", digest=bytes(32))


@breaks(Code.RECORDING_DIFFERS)
def a_piece_is_of_no_recording(story: list[Envelope]) -> list[Envelope]:
    return spliced(story, index_of(story, "turn_started"), insert=[piece(1, 0, RecordedSide())])
