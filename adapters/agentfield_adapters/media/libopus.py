"""libopus itself: one mono stream of PCM to Opus packets and back, with what was lost made up for.

PyAV's codec contexts can do neither: they know no loss (RFC 6716, section 4.4 and `opus_decode`'s
`decode_fec`), decode to 48 kHz only, and wrap each 20 ms in a frame, a packet and a time base. Its wheel
carries the library, so nothing more is installed.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import cache
from pathlib import Path
from typing import Any

import av

RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
PACKET_MS_MAX = 120
PACKET_BYTES_MAX = 1_275  # of one frame (RFC 6716, section 3.2.1)
BIT_RATE = 40_000
COMPLEXITY = 5

_VOIP, _LOW_DELAY, _VOICE = 2048, 2051, 3001
_SET_BITRATE, _SET_COMPLEXITY, _SET_SIGNAL = 4002, 4010, 4024
_SET_INBAND_FEC, _SET_PACKET_LOSS_PERC = 4012, 4014
_SAMPLE_BYTES = 2


class OpusError(ValueError):
    """What should be an Opus packet is none, or the library refused what it was given."""


@cache
def _library() -> Any:
    """Return libopus with its functions declared.

    Called with the interpreter's lock held: 20 ms of speech take less time than giving the lock away and
    waiting for it behind another thread.

    Raises:
        RuntimeError: There is none: PyAV was built without it, and the system has none either.
    """
    package = Path(av.__file__).parent
    carried = [*(package.parent / "av.libs").glob("*opus*"), *(package / ".dylibs").glob("*opus*")]
    found = str(carried[0]) if carried else ctypes.util.find_library("opus")
    if found is None:
        raise RuntimeError("there is no libopus: install PyAV from a wheel, or the system's libopus")
    library: Any = ctypes.PyDLL(found)
    pointer, number, data = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    for name, arguments in (
        ("opus_encoder_get_size", [number]),
        ("opus_encoder_init", [pointer, number, number, number]),
        ("opus_encoder_ctl", [pointer, number]),
        ("opus_encode", [pointer, data, number, pointer, number]),
        ("opus_decoder_get_size", [number]),
        ("opus_decoder_init", [pointer, number, number]),
        ("opus_decode", [pointer, data, number, pointer, number, number]),
    ):
        getattr(library, name).argtypes = arguments
    return library


class Encoder:
    """One stream to packets of 20 ms.

    As long as no loss is expected it is in Opus's low-delay mode (CELT): a quarter of the time of the mode
    for speech (SILK), 4 ms less delay and, at this bit rate, as near to the original. What that cannot do is
    carry copies of lost packets.

    Args:
        rate_hz: Of the PCM, one of `RATES_HZ`; the packets are the same for any receiver.
    """

    def __init__(self, *, rate_hz: int) -> None:
        _require_rate(rate_hz)
        self._library = _library()
        self._rate_hz = rate_hz
        self._frame_samples = rate_hz // 50
        self._state = ctypes.create_string_buffer(self._library.opus_encoder_get_size(1))
        self._packet = ctypes.create_string_buffer(PACKET_BYTES_MAX)
        self._mode = 0
        self._enter(_LOW_DELAY)

    def expect_loss(self, percent: int) -> None:
        """Say how many packets get lost: with any, each also carries a smaller copy of the one before."""
        self._enter(_VOIP if percent else _LOW_DELAY)
        self._set(_SET_INBAND_FEC, int(percent > 0))
        self._set(_SET_PACKET_LOSS_PERC, percent)

    def encoded(self, pcm: bytes) -> bytes:
        """Return the packet of the next 20 ms.

        Args:
            pcm: 20 ms of mono int16 PCM, native byte order: 960 bytes at 24 kHz.

        Raises:
            ValueError: It is not 20 ms.
        """
        if len(pcm) != self._frame_samples * _SAMPLE_BYTES:
            raise ValueError(f"20 ms are {self._frame_samples * _SAMPLE_BYTES} bytes, not {len(pcm)}")
        size = _checked(
            self._library.opus_encode(self._state, pcm, self._frame_samples, self._packet, PACKET_BYTES_MAX)
        )
        return ctypes.string_at(self._packet, size)

    def _enter(self, mode: int) -> None:
        """Begin anew in another mode; within a stream that is a change as Opus knows it (RFC 6716, 4.5)."""
        if mode == self._mode:
            return
        self._mode = mode
        _checked(self._library.opus_encoder_init(self._state, self._rate_hz, 1, mode))
        self._set(_SET_BITRATE, BIT_RATE)
        self._set(_SET_COMPLEXITY, COMPLEXITY)
        self._set(_SET_SIGNAL, _VOICE)

    def _set(self, what: int, value: int) -> None:
        _checked(self._library.opus_encoder_ctl(self._state, what, ctypes.c_int(value)))


class Decoder:
    """Packets in order to one stream; each packet exactly one call, what is missing one call as well.

    Args:
        rate_hz: Of the PCM, one of `RATES_HZ`, whatever rate the packets were made from.
    """

    def __init__(self, *, rate_hz: int) -> None:
        _require_rate(rate_hz)
        self._library = _library()
        self._rate_hz = rate_hz
        self._samples_max = rate_hz * PACKET_MS_MAX // 1000
        self._state = ctypes.create_string_buffer(self._library.opus_decoder_get_size(1))
        self._pcm = ctypes.create_string_buffer(self._samples_max * _SAMPLE_BYTES)
        _checked(self._library.opus_decoder_init(self._state, rate_hz, 1))

    def decoded(self, packet: bytes) -> bytes:
        """Return a packet's mono int16 PCM, at most 120 ms.

        Raises:
            OpusError: It is not Opus; the stream goes on with the next.
        """
        if not packet:
            raise OpusError("an Opus packet has at least one byte")
        return self._decoded(packet, self._samples_max, copy_of_last=0)

    def concealed(self, lost_ms: int) -> bytes:
        """Return what may stand for a lost packet: the sound goes on, so more than 100 ms of it is a drone.

        Args:
            lost_ms: Duration of the lost packet; a multiple of 2.5, at most 120.
        """
        return self._decoded(None, self._rate_hz * lost_ms // 1000, copy_of_last=0)

    def recovered(self, packet: bytes, lost_ms: int) -> bytes:
        """Return the lost packet that came right before `packet`, from the copy in it if there is one.

        Without one it is concealed. `packet` itself is decoded afterwards.

        Args:
            lost_ms: Duration of the lost packet; a multiple of 2.5, at most 120.

        Raises:
            OpusError: It is not Opus.
        """
        return self._decoded(packet, self._rate_hz * lost_ms // 1000, copy_of_last=1)

    def _decoded(self, packet: bytes | None, samples: int, *, copy_of_last: int) -> bytes:
        size = 0 if packet is None else len(packet)
        count = _checked(
            self._library.opus_decode(self._state, packet, size, self._pcm, samples, copy_of_last)
        )
        return ctypes.string_at(self._pcm, count * _SAMPLE_BYTES)


def _require_rate(rate_hz: int) -> None:
    if rate_hz not in RATES_HZ:
        raise ValueError(f"Opus is made from and to {RATES_HZ} Hz, not {rate_hz}")


def _checked(result: int) -> int:
    if result < 0:
        raise OpusError(f"libopus refused it with error {result}")
    return result
