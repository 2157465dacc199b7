"""Recordings of calls: both sides on one clock, encoded, kept as content and tied to the journal's windows.

Knows no handler, no HTTP and no codec: a `ports.AudioEncoder` is injected.
"""

from agentfield_rt.recording.reading import KeptRecording, RecordingStatus, recordings_of
from agentfield_rt.recording.recording import Recording, Recordings

__all__ = [
    "KeptRecording",
    "Recording",
    "RecordingStatus",
    "Recordings",
    "recordings_of",
]
