"""The recording of a call: begun, stored piece by piece, complete or given up. The sound is content."""

from typing import ClassVar

import msgspec

from agentfield_rt.core.records.record import Record
from agentfield_rt.errors import Reason


class RecordedSide(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What of one side's windows went into a recording since it began.

    `digest` chains the digests of those windows: 32 zero bytes before the first one, then
    SHA-256(digest before + SHA-256 of the window's PCM). Of the caller it covers the frames that the provider
    took, of the agent the audio that came, of which what the caller did not hear is left out of the sound.
    """

    windows: int = 0
    frames: int = 0
    size_bytes: int = 0
    digest: bytes = bytes(32)


class RecordingStarted(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens the recording of a session, whose caller was told; its sound begins at this record's time."""

    kind: ClassVar[str] = "recording_started"
    op_id: str
    format: str


class RecordingSegmentStored(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A piece is on stable storage. All pieces in order are one file; those up to any of them play, too.

    `number` counts from 1. `samples` of each side, at 24 kHz, had been given to the encoder, which may hold
    the last second back until the next piece; `digest` is the SHA-256 of the file up to the end of this one.
    """

    kind: ClassVar[str] = "recording_segment_stored"
    recording_id: str
    number: int
    content_ref: str
    samples: int
    digest: bytes
    caller: RecordedSide
    agent: RecordedSide


class RecordingStored(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The recording is complete; it is the file of its `segments`, with the last one's digests."""

    kind: ClassVar[str] = "recording_stored"
    op_id: str
    segments: int
    samples: int
    digest: bytes
    caller: RecordedSide
    agent: RecordedSide


class RecordingFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The recording was given up, the call was not; what was stored by then stays."""

    kind: ClassVar[str] = "recording_failed"
    op_id: str
    reason: Reason
