"""G.711 at 8 kHz to PCM at 24 kHz and back, in streams: a resampler hears no gap between two pieces."""

import numpy as np

from agentfield_adapters.media.g711 import A_LAW, MU_LAW, Companding
from agentfield_adapters.media.resampling import Resampler
from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.frames import SAMPLE_RATE_HZ
from agentfield_rt.ports import AudioFormat

_TELEPHONE_RATE_HZ = 8_000


def _law(audio_format: AudioFormat) -> Companding:
    return A_LAW if audio_format is AudioFormat.G711_ALAW else MU_LAW


class G711Encoder:
    """The user's audio for one connection (`wire_audio.Encoder`)."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._law = _law(audio_format)
        self._resampler = Resampler(SAMPLE_RATE_HZ, _TELEPHONE_RATE_HZ)

    def encoded(self, pcm: bytes) -> bytes:
        """See `wire_audio.Encoder`.

        Raises:
            ProviderError: it ends in half a sample.
        """
        if len(pcm) % 2:
            raise ProviderError("audio is whole samples of two bytes", reason=Reason.INVALID_REQUEST)
        return self._law.encoded(self._resampler.resampled(np.frombuffer(pcm, dtype="<i2")))


class G711Decoder:
    """One response's audio (`wire_audio.Decoder`)."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._law = _law(audio_format)
        self._resampler = Resampler(_TELEPHONE_RATE_HZ, SAMPLE_RATE_HZ)

    def decoded(self, data: bytes) -> bytes:
        """See `wire_audio.Decoder`."""
        return self._resampler.resampled(self._law.decoded(data)).astype("<i2").tobytes()

    def rest(self) -> bytes:
        """See `wire_audio.Decoder`."""
        return self._resampler.rest().astype("<i2").tobytes()
