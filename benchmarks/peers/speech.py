"""What is said in the calls of `benchmarks.webrtc_calls`: the same for every framework, and for the load."""

import numpy as np
import numpy.typing as npt

FRAME_S = 0.02
SECONDS = 4


def spoken(rate_hz: int) -> list[bytes]:
    """Frames of 20 ms of mono int16 PCM: harmonics of a moving pitch in bursts like syllables, and hiss."""
    at_s = np.arange(rate_hz * SECONDS) / rate_hz
    pitch_hz = 120 + 30 * np.sin(2 * np.pi * 0.7 * at_s)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    voice = np.sum([np.sin(order * phase) / order for order in range(1, 20)], axis=0)
    voice += 0.3 * np.random.default_rng(1).standard_normal(at_s.size)
    voice *= np.clip(np.sin(2 * np.pi * 3 * at_s), 0, 1)
    pcm: npt.NDArray[np.int16] = (voice / np.abs(voice).max() * 12_000).astype(np.int16)
    return [part.tobytes() for part in pcm.reshape(-1, rate_hz // 50)]
