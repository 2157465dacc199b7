"""What was audible when, read off a recording of both sides of a call on one clock.

Needs numpy; knows no browser and no provider.
"""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agentfield_rt.audibility import audible_spans, levels

Signal = npt.NDArray[np.float32]

WINDOW_S = 0.005
LOUD_RMS = 0.01
GAP_MAX_S = 0.35
SHORTEST_S = 0.03


@dataclass(frozen=True, slots=True)
class Sound:
    """A stretch of speech, in seconds from the start of the recording."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Recording:
    """Both sides of a call: what the microphone gave and what the caller heard, equally long."""

    microphone: Signal
    heard: Signal
    rate_hz: int

    @classmethod
    def from_pcm(cls, microphone: bytes, heard: bytes, rate_hz: int) -> "Recording":
        """From mono int16 little-endian PCM."""
        return cls(_signal(microphone), _signal(heard), rate_hz)

    def spoken(self) -> list[Sound]:
        """When the caller spoke."""
        return sounds(self.microphone, self.rate_hz)

    def answered(self) -> list[Sound]:
        """When the caller heard something."""
        return sounds(self.heard, self.rate_hz)

    def reply_times_s(self) -> list[float]:
        """For each thing the caller said that was answered before they went on: how long until the answer."""
        spoken, answered = self.spoken(), self.answered()
        times: list[float] = []
        for index, said in enumerate(spoken):
            next_start = spoken[index + 1].start_s if index + 1 < len(spoken) else float("inf")
            first = next((a.start_s for a in answered if a.start_s > said.end_s), None)
            if first is not None and first < next_start:
                times.append(first - said.end_s)
        return times

    def barge_in_times_s(self) -> list[float]:
        """For each time the caller cut in: how long until it was silent."""
        times: list[float] = []
        for said in self.spoken():
            cut = next((a for a in self.answered() if a.start_s < said.start_s < a.end_s), None)
            if cut is not None:
                times.append(cut.end_s - said.start_s)
        return times

    def write(self, path: Path) -> None:
        """As a stereo WAV file: left the caller, right what they heard."""
        both = np.stack([self.microphone, self.heard], axis=1)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(self.rate_hz)
            file.writeframes((both * 32767).astype("<i2").tobytes())


def sounds(signal: Signal, rate_hz: int) -> list[Sound]:
    """Stretches that are louder than a quiet room; pauses up to `GAP_MAX_S` belong to them."""
    window = int(rate_hz * WINDOW_S)
    spans = audible_spans(
        levels(signal, window),
        LOUD_RMS,
        window=window,
        pause_windows_max=round(GAP_MAX_S / WINDOW_S),
        windows_min=round(SHORTEST_S / WINDOW_S),
    )
    return [Sound(span.start / rate_hz, span.end / rate_hz) for span in spans]


def _signal(pcm: bytes) -> Signal:
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(32768)
