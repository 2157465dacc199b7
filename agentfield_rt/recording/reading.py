"""What recordings a run's journal tells of. A fold: reads no content, trusts the order of the records."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from agentfield_rt.core import records
from agentfield_rt.core.records import Record


class RecordingStatus(StrEnum):
    """What has become of a recording."""

    RECORDING = "recording"
    STORED = "stored"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRecording:
    """A recording as far as it is kept.

    Attributes:
        refs: Its pieces; together, in this order, they are one file that plays as far as it goes.
        samples: Of each side, at 24 kHz.
        digest: SHA-256 of the file; None while there is none.
    """

    recording_id: str
    format: str
    status: RecordingStatus = RecordingStatus.RECORDING
    refs: tuple[str, ...] = ()
    samples: int = 0
    digest: bytes | None = None


def recordings_of(history: Iterable[Record]) -> list[KeptRecording]:
    """The recordings in one session's records, oldest first; one that went on after a crash has several."""
    found: dict[str, KeptRecording] = {}
    for record in history:
        match record:
            case records.RecordingStarted(op_id=recording_id, format=format_name):
                found[recording_id] = KeptRecording(recording_id=recording_id, format=format_name)
            case records.RecordingSegmentStored(recording_id=recording_id):
                so_far = found[recording_id]
                found[recording_id] = replace(
                    so_far,
                    refs=(*so_far.refs, record.content_ref),
                    samples=record.samples,
                    digest=record.digest,
                )
            case records.RecordingStored(op_id=recording_id):
                found[recording_id] = replace(found[recording_id], status=RecordingStatus.STORED)
            case records.RecordingFailed(op_id=recording_id):
                found[recording_id] = replace(found[recording_id], status=RecordingStatus.INCOMPLETE)
            case _:
                pass
    return list(found.values())
