"""espeak-ng through ctypes. It is GPL: import this only in a process of its own (`mouth.process`).

The engine is one global, so there is one `Espeak` per process, used by one thread.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import espeakng_loader

_OUTPUT_SYNCHRONOUS = 2
_BUFFER_MS = 60
_PARAMETER_RATE = 1
_CHARS_UTF8 = 1
_SEED = 1  # of the breath in a voice: two processes told the same speak the same samples
_EVENT_END, _EVENT_WORD = 0, 1


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))

# (samples as 16-bit little-endian bytes, [(character position from 0, sample)]) -> go on?
Sink = Callable[[bytes, list[tuple[int, int]]], bool]


class EspeakFailed(Exception):
    """The engine could not be started or does not know a voice."""


class Espeak:
    """The engine. `rate_hz` is what it speaks at (22 050)."""

    def __init__(self) -> None:
        library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        library.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        data_path = str(espeakng_loader.get_data_path()).encode()
        self.rate_hz: int = library.espeak_Initialize(_OUTPUT_SYNCHRONOUS, _BUFFER_MS, data_path, 0)
        if self.rate_hz <= 0:
            raise EspeakFailed("espeak-ng could not read its voices: reinstall espeakng-loader")
        library.espeak_ng_SetRandSeed(_SEED)
        self._library = library

    def speak(self, text: str, sink: Sink, *, voice: str, words_per_minute: int) -> None:
        """Speak `text` into `sink`, which returns False to stop at once.

        Raises:
            EspeakFailed: There is no such voice.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise EspeakFailed(f"espeak-ng has no voice {voice!r}")
        self._library.espeak_SetParameter(_PARAMETER_RATE, words_per_minute, 0)

        def take(samples: int | None, count: int, events: Any) -> int:
            pcm = ctypes.string_at(samples, 2 * count) if samples and count > 0 else b""
            words: list[tuple[int, int]] = []
            index = 0
            while events[index].type != _EVENT_END:
                event = events[index]
                if event.type == _EVENT_WORD:
                    words.append((event.text_position - 1, event.sample))
                index += 1
            return 0 if sink(pcm, words) else 1

        callback = _CALLBACK(take)  # kept alive by this frame until the call returns
        self._library.espeak_SetSynthCallback(callback)
        encoded = text.encode() + b"\0"
        self._library.espeak_Synth(encoded, len(encoded), 0, 1, 0, _CHARS_UTF8, None, None)
