"""Recordings: what went into one are the windows that the journal has, in their order; and it is all there.

Each side's digest is chained anew from the digests of the session's windows since the recording began.
"""

from collections import deque
from dataclasses import dataclass, field
from hashlib import sha256

from agentfield_journal import Envelope
from agentfield_rt.audit.payloads import Data
from agentfield_rt.audit.report import Code, Findings, shown

UNCONFIRMED_MAX = 4_096
"""Windows of one side since the last piece of a recording; a piece is stored every ten seconds."""

_WINDOWS = {
    "realtime_input_sent": ("caller", "window"),
    "realtime_input_send_failed": ("caller", "window"),
    "realtime_input_send_unknown": ("caller", "window"),
    "realtime_output_received": ("agent", "audio"),
}
_SIDES = ("caller", "agent")
_NOTHING: Data = {"windows": 0, "frames": 0, "size_bytes": 0, "digest": bytes(32)}


class _Side:
    """The sums after each window that no piece of the recording has confirmed yet, and the last confirmed."""

    def __init__(self) -> None:
        self._sums: deque[Data] = deque([_NOTHING], maxlen=UNCONFIRMED_MAX)

    def add(self, window: Data) -> None:
        before = self._sums[-1]
        self._sums.append(
            {
                "windows": before["windows"] + 1,
                "frames": before["frames"] + window["frames"],
                "size_bytes": before["size_bytes"] + window["size_bytes"],
                "digest": sha256(before["digest"] + window["digest"]).digest(),
            }
        )

    def confirms(self, claim: Data) -> bool:
        """Whether the recording's sums are those after some window, and no earlier one than before."""
        while len(self._sums) > 1 and self._sums[0]["windows"] < claim["windows"]:
            self._sums.popleft()
        return self._sums[0] == claim


@dataclass(slots=True)
class _Recording:
    recording_id: str
    sides: dict[str, _Side] = field(default_factory=lambda: {name: _Side() for name in _SIDES})
    segments: int = 0
    last: Data = field(default_factory=dict[str, object])
    is_wrong: bool = False


class RecordingChecks:
    """Follows the recordings of a run."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._going_on: dict[str | None, _Recording] = {}

    def take(self, envelope: Envelope, data: Data) -> None:
        """Follow one record whose operation is sound."""
        kind, session_id = envelope.kind, envelope.session_id
        if kind == "recording_started":
            self._going_on[session_id] = _Recording(envelope.op_id or "")
            return
        recording = self._going_on.get(session_id)
        if kind in _WINDOWS:
            side, name = _WINDOWS[kind]
            if recording is not None and (window := data.get(name)) is not None:
                recording.sides[side].add(window)
        elif kind == "recording_segment_stored":
            self._segment(recording, data)
        elif kind == "recording_stored" and recording is not None:
            self._require(recording, recording.segments == data["segments"], "Pieces of it are missing.")
            ends = {name: data[name] for name in recording.last}
            self._require(recording, ends == recording.last, "It does not end where its last piece ends.")
        if kind in ("recording_stored", "recording_failed"):
            self._going_on.pop(session_id, None)

    def _segment(self, recording: _Recording | None, data: Data) -> None:
        if recording is None or recording.recording_id != data["recording_id"]:
            problem = f"Recording {shown(data['recording_id'])} does not go on here."
            self._findings.add(Code.RECORDING_DIFFERS, problem)
            return
        recording.segments += 1
        self._require(recording, data["number"] == recording.segments, "Pieces of it are missing.")
        longer = data["samples"] >= recording.last.get("samples", 0)
        self._require(recording, longer, "The recording has become shorter.")
        for name in _SIDES:
            same = recording.sides[name].confirms(data[name])
            self._require(recording, same, f"What went into it of the {name} is not what the windows hold.")
        recording.last = {name: data[name] for name in ("samples", "digest", *_SIDES)}

    def _require(self, recording: _Recording, holds: bool, problem: str) -> None:
        """One finding is enough: what is wrong once is wrong in every later piece."""
        if not holds and not recording.is_wrong:
            recording.is_wrong = True
            self._findings.add(Code.RECORDING_DIFFERS, problem)
