"""Audio as events carry it: the runtime's PCM as it is, or G.711, which is turned into that here at the edge.

Behind this module audio is always mono int16 PCM at 24 kHz: windows, digests, playback and what was heard
count one thing, whatever a provider speaks. The price of G.711 is two resamplings and what a telephone
leaves of a voice; its worth is a sixth of the bytes, and servers that speak nothing else.
"""

from importlib.util import find_spec
from typing import Any, Protocol

from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.frames import BYTES_PER_MS
from agentfield_rt.ports import AudioFormat

_TYPES: dict[AudioFormat, dict[str, Any]] = {
    AudioFormat.PCM16: {"type": "audio/pcm", "rate": 24_000},
    AudioFormat.G711_ULAW: {"type": "audio/pcmu"},
    AudioFormat.G711_ALAW: {"type": "audio/pcma"},
}
_G711_BYTES_PER_MS = 8


def wire_type(audio_format: AudioFormat) -> dict[str, Any]:
    """The format as a session object names it (OpenAI Realtime: `audio.input.format`)."""
    return dict(_TYPES[audio_format])


def bytes_per_ms(audio_format: AudioFormat) -> int:
    """How much of it is a millisecond."""
    return BYTES_PER_MS if audio_format is AudioFormat.PCM16 else _G711_BYTES_PER_MS


class Encoder(Protocol):
    """The user's audio on its way out; one for a connection."""

    def encoded(self, pcm: bytes) -> bytes:
        """The next piece as it is sent."""
        ...


class Decoder(Protocol):
    """A response's audio on its way in; one for each response."""

    def decoded(self, data: bytes) -> bytes:
        """The next piece as whole samples; what is left of it comes with the one after."""
        ...

    def rest(self) -> bytes:
        """What was held back, when no more comes."""
        ...


class PcmDecoder:
    """PCM as it is; half a sample at the end of a piece waits for the other half."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = b""

    def decoded(self, data: bytes) -> bytes:
        """See `Decoder`."""
        if not self._half and not len(data) & 1:  # as good as always
            return data
        data = self._half + data
        whole = len(data) & ~1
        self._half = data[whole:]
        return data[:whole]

    def rest(self) -> bytes:
        """See `Decoder`: half a sample is no sound."""
        return b""


def encoder(audio_format: AudioFormat) -> Encoder | None:
    """What turns the runtime's audio into `audio_format`; None where there is nothing to do.

    Raises:
        ProviderError: what that takes is not installed.
    """
    if audio_format is AudioFormat.PCM16:
        return None
    _require_codecs(audio_format)
    from agentfield_adapters.openai.g711_audio import G711Encoder  # most sessions need no codecs

    return G711Encoder(audio_format)


def decoder(audio_format: AudioFormat) -> Decoder:
    """What turns `audio_format` into the runtime's audio, for one response.

    Raises:
        ProviderError: what that takes is not installed.
    """
    if audio_format is AudioFormat.PCM16:
        return PcmDecoder()
    _require_codecs(audio_format)
    from agentfield_adapters.openai.g711_audio import G711Decoder

    return G711Decoder(audio_format)


def _require_codecs(audio_format: AudioFormat) -> None:
    for package in ("av", "numpy"):
        if find_spec(package) is None:
            raise ProviderError(
                f"{audio_format.value} needs {package}; pip install 'agentfield-rt[all]'",
                reason=Reason.INVALID_REQUEST,
            )
