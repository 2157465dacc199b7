"""Recordings: any audio file in, one WAV out, and where in them somebody speaks. Knows no call."""

import wave
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError

from agentfield_rt.audibility import Span, audible_spans, levels
from agentfield_rt.cli.failures import Failure

Samples = npt.NDArray[np.int16]

RATE_HZ = 48_000
"""Of all samples here, mono: WebRTC's own rate."""

DURATION_S_MAX = 600
AUDIBLE_LEVEL = 100
"""Root mean square of 10 ms that counts as sound in a recording without noise: -50 dB of full scale."""

_BLOCK = RATE_HZ // 100
_PAUSE_BLOCKS_MAX = 25  # a shorter pause is part of the speech
_SPEECH_BLOCKS_MIN = 6  # a shorter sound is a click


def read_recording(path: Path) -> Samples:
    """The file's first audio stream, whatever its rate and channels.

    Raises:
        Failure: there is no such file, or no audio in it, or more than ten minutes.
    """
    if not path.is_file():
        raise Failure(f"there is no file {path}; --call takes a WAV file of somebody speaking")
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise Failure(f"{path} has no sound in it; --call takes a WAV file")
            samples = _decoded(container)
    except FFmpegError as error:
        raise Failure(f"{path} is no sound file that can be read ({error.strerror})") from error
    if len(samples) == 0:
        raise Failure(f"{path} is empty; --call takes a WAV file of somebody speaking")
    return samples


def _decoded(container: Any) -> Samples:
    resampler: Any = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
    pieces: list[Samples] = []
    samples_total = 0
    for frame in (*container.decode(audio=0), None):
        for piece in resampler.resample(frame):
            pieces.append(cast(Samples, piece.to_ndarray()[0]))
            samples_total += len(pieces[-1])
        if samples_total > DURATION_S_MAX * RATE_HZ:
            raise Failure(f"the recording is longer than {DURATION_S_MAX} s; use a shorter one")
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int16)


def write_recording(path: Path, samples: Samples) -> None:
    """Write a mono 16-bit WAV file.

    Raises:
        Failure: it cannot be written there.
    """
    try:
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes(samples.astype("<i2").tobytes())
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from error


def speech_spans(samples: Samples) -> list[Span]:
    """Where somebody speaks, to 10 ms, in a recording that may have noise in it."""
    loudness = levels(samples, _BLOCK)
    if len(loudness) == 0:
        return []
    quiet, loud = np.percentile(loudness, [10, 95])
    # Between the room and the voice: 10 dB above the one, but never within 10 dB of the other.
    threshold = max(AUDIBLE_LEVEL / 2, loud / 20, min(quiet * 3.2, loud / 3.2))
    return audible_spans(
        loudness,
        threshold,
        window=_BLOCK,
        pause_windows_max=_PAUSE_BLOCKS_MAX,
        windows_min=_SPEECH_BLOCKS_MIN,
    )


def first_sound(samples: Samples, within: Span) -> int | None:
    """The first audible sample within a span of a recording without noise."""
    part = samples[max(within.start, 0) : within.end]
    active = np.flatnonzero(levels(part, _BLOCK) > AUDIBLE_LEVEL)
    if len(active) == 0:
        return None
    block = int(active[0]) * _BLOCK
    sounding = np.flatnonzero(np.abs(part[block : block + _BLOCK].astype(np.int32)) >= AUDIBLE_LEVEL)
    return max(within.start, 0) + block + (int(sounding[0]) if len(sounding) else 0)
