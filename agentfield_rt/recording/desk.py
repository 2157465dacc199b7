"""The mixing desk: puts both sides on one clock, digests where they come from, has them encoded.

It blocks, so it works in a thread; it knows no event loop and no journal.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256

from agentfield_rt.core.records import RecordedSide
from agentfield_rt.frames import SAMPLE_RATE_HZ, AudioFrame, OutputAudio
from agentfield_rt.ports import AudioEncoder
from agentfield_rt.recording.source import Source
from agentfield_rt.recording.track import SAMPLE_BYTES, Track

JITTER_SAMPLES = SAMPLE_RATE_HZ // 5
"""A caller's frame that is up to 200 ms late is not taken for one after a silence."""

AHEAD_SAMPLES_MAX = 60 * SAMPLE_RATE_HZ
"""How far a caller who sends faster than anybody speaks may be ahead of the clock."""

UNHEARD_BYTES_MAX = 32 << 20
"""Agent audio that came and was not handed to the caller yet: more than a player keeps."""

UNSENT_FRAMES_MAX = 4_096
"""Frames of the caller that may wait for their fate: far more than the gate holds."""

_ENCODED_SAMPLES = SAMPLE_RATE_HZ


class Side(Enum):
    """Whose audio it is."""

    CALLER = "caller"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Spoke:
    """The caller was heard; whether the provider will be, `Sent` says."""

    at_s: float
    frame: AudioFrame


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider took a frame, and the open window counts it."""

    frame: AudioFrame


@dataclass(frozen=True, slots=True)
class Came:
    """Agent audio came, and the open window counts it."""

    audio: OutputAudio


@dataclass(frozen=True, slots=True)
class WindowEnded:
    """The journal has the window that ends here."""

    side: Side


@dataclass(frozen=True, slots=True)
class Began:
    """What is played from here on belongs to this response."""

    response_id: str


@dataclass(frozen=True, slots=True)
class Played:
    """The caller was handed so much of the response, to sound after what it has."""

    at_s: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Cleared:
    """The caller dropped what had not sounded, and nothing that came by then is played any more."""

    at_s: float


Event = Spoke | Sent | Came | WindowEnded | Began | Played | Cleared


class TooMuch(Exception):
    """More waits than may."""


class NotTheSame(Exception):
    """What was played or sent is not what came or was spoken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """What became of some events.

    Attributes:
        data: The next bytes of the file.
        samples: Of each side, in the file by now.
        digest: SHA-256 of the file by now.
        caller, agent: The windows that went in by now.
    """

    data: bytes
    samples: int
    digest: bytes
    caller: RecordedSide
    agent: RecordedSide


class Desk:
    """Mixes one call.

    Args:
        began_at_s: Of the clock that stamps the events: the recording's first sample.
        plays: Somebody is handed what the agent says.
    """

    def __init__(self, encoder: AudioEncoder, began_at_s: float, *, plays: bool = True) -> None:
        self._encoder = encoder
        self._began_at_s = began_at_s
        self._plays = plays
        self._caller = Track(jitter_samples=JITTER_SAMPLES)
        self._agent = Track()
        self._sources = {side: Source() for side in Side}
        self._unsent: deque[AudioFrame] = deque(maxlen=UNSENT_FRAMES_MAX)
        self._unheard: dict[str, bytearray] = {}
        self._unheard_bytes = 0
        self._playing = ""
        self._samples = 0
        self._file = sha256()

    def mix(self, events: Sequence[Event], now_s: float, *, ends: bool) -> Mixed:
        """Take what happened since the last time, and encode what is certain by now.

        Raises:
            TooMuch: one side is too far ahead, or too much of it is kept.
            NotTheSame: the audio is not what the windows hold.
        """
        for event in events:
            self._take(event)
        now = self._sample(now_s)
        if ends:
            self._agent.cut(now)
            until = max(now, self._caller.end)
        else:
            until = max(now - JITTER_SAMPLES, self._samples)
        if self._caller.end - until > AHEAD_SAMPLES_MAX or self._unheard_bytes > UNHEARD_BYTES_MAX:
            raise TooMuch
        data = self._encoded(until)
        if ends:
            data += self._encoder.finish()
        self._file.update(data)
        return Mixed(
            data=data,
            samples=self._samples,
            digest=self._file.digest(),
            caller=self._sources[Side.CALLER].total,
            agent=self._sources[Side.AGENT].total,
        )

    def _encoded(self, until: int) -> bytes:
        data = b""
        while self._samples < until:
            self._samples = min(self._samples + _ENCODED_SAMPLES, until)
            data += self._encoder.encode(self._caller.take(self._samples), self._agent.take(self._samples))
        return data

    def _take(self, event: Event) -> None:
        match event:
            case Spoke(at_s, frame):
                self._caller.place(self._sample(at_s), _whole(frame.pcm))
                self._unsent.append(frame)
            case Sent(frame):
                self._sources[Side.CALLER].add(self._spoken(frame))
            case Came(audio):
                self._sources[Side.AGENT].add(audio.pcm)
                if self._plays:
                    self._unheard.setdefault(audio.response_id, bytearray()).extend(audio.pcm)
                    self._unheard_bytes += len(audio.pcm)
            case WindowEnded(side):
                self._sources[side].end_window()
            case Began(response_id):
                self._begin(response_id)
            case Played(at_s, size_bytes):
                self._agent.place(self._sample(at_s), _whole(self._heard(size_bytes)))
            case Cleared(at_s):
                self._agent.cut(self._sample(at_s))
                self._unheard.clear()
                self._unheard_bytes = 0

    def _spoken(self, frame: AudioFrame) -> bytes:
        """The frame as it stands in the recording. Those before it never reached the provider."""
        while self._unsent:
            if (spoken := self._unsent.popleft()).frame_id == frame.frame_id:
                return spoken.pcm
        raise NotTheSame

    def _begin(self, response_id: str) -> None:
        """Responses are played in the order they came in: what came before this one nobody will hear."""
        self._playing = response_id
        if response_id in self._unheard:
            while (first := next(iter(self._unheard))) != response_id:
                self._unheard_bytes -= len(self._unheard.pop(first))

    def _heard(self, size_bytes: int) -> bytes:
        """The next so many bytes of the response, out of the audio that was digested."""
        unheard = self._unheard.get(self._playing, bytearray())
        if len(unheard) < size_bytes:
            raise NotTheSame
        pcm = bytes(unheard[:size_bytes])
        del unheard[:size_bytes]
        self._unheard_bytes -= size_bytes
        return pcm

    def _sample(self, at_s: float) -> int:
        return max(round((at_s - self._began_at_s) * SAMPLE_RATE_HZ), 0)


def _whole(pcm: bytes) -> bytes:
    """Without half a sample, which nobody can hear."""
    return pcm[: len(pcm) // SAMPLE_BYTES * SAMPLE_BYTES]
