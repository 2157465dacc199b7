"""A telephone's audio, G.711 at 8 kHz, as the runtime's, PCM at 24 kHz in frames of 20 ms, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from agentfield_adapters.media.g711 import A_LAW, MU_LAW, Companding
from agentfield_adapters.media.resampling import Resampler
from agentfield_rt.frames import FRAME_BYTES, FRAME_MS, SAMPLE_RATE_HZ

TELEPHONE_RATE_HZ = 8_000
_FRAME_CODES = TELEPHONE_RATE_HZ * FRAME_MS // 1000
_HELD_MAX = 5  # 100 ms: a piece that comes later than that is not waited for

LAWS: Mapping[str, Companding] = {
    "audio/x-mulaw": MU_LAW,
    "pcmu": MU_LAW,
    "pcma": A_LAW,
    "audio/x-alaw": A_LAW,
}
"""By the vendors' words for them, in lower case."""


class FromTelephone:
    """The caller's audio.

    Args:
        law: What it is coded by.
    """

    def __init__(self, law: Companding) -> None:
        self._law = law
        self._resampler = Resampler(TELEPHONE_RATE_HZ, SAMPLE_RATE_HZ)
        self._pcm = b""

    def frames(self, codes: bytes) -> Iterable[bytes]:
        """Return the frames that are complete with this; what is left waits for the next."""
        samples = self._resampler.resampled(self._law.decoded(codes))
        pcm = self._pcm + samples.astype("<i2").tobytes()
        whole = len(pcm) - len(pcm) % FRAME_BYTES
        self._pcm = pcm[whole:]
        return [pcm[at : at + FRAME_BYTES] for at in range(0, whole, FRAME_BYTES)]


class ToTelephone:
    """The agent's audio, by the µ-law, which every vendor takes. Telnyx wants 20 ms in a message at least."""

    def __init__(self) -> None:
        self._resampler = Resampler(SAMPLE_RATE_HZ, TELEPHONE_RATE_HZ)
        self._codes = b""

    def frames(self, pcm: bytes) -> Iterable[bytes]:
        """Return the frames of codes that are complete with this; what is left waits for the next."""
        codes = self._codes + MU_LAW.encoded(self._resampler.resampled(np.frombuffer(pcm, dtype="<i2")))
        whole = len(codes) - len(codes) % _FRAME_CODES
        self._codes = codes[whole:]
        return [codes[at : at + _FRAME_CODES] for at in range(0, whole, _FRAME_CODES)]

    def rest(self) -> Iterable[bytes]:
        """Return what is left, filled up with silence."""
        rest, self._codes = self._codes, b""
        return [rest.ljust(_FRAME_CODES, b"\xff")] if rest else []


class InOrder:
    """Pieces by their number, as they should have come: Telnyx promises no order."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._held: dict[int, bytes] = {}

    def following(self, chunk: int, piece: bytes) -> Iterable[bytes]:
        """Return what may be heard now that this has come; one that comes too late is not heard."""
        if self._next is None:
            self._next = chunk
        if chunk >= self._next:
            self._held[chunk] = piece
        if len(self._held) > _HELD_MAX:
            self._next = min(self._held)
        ready: list[bytes] = []
        while self._next in self._held:
            ready.append(self._held.pop(self._next))
            self._next += 1
        return ready
