"""What the mouth's process is told and what it answers."""

from __future__ import annotations

import msgspec
from msgspec import Struct


class Speak(Struct, frozen=True, tag="speak"):
    """Speak `text`; answers carry the same `id`."""

    id: int
    text: str
    voice: str
    words_per_minute: int
    rate_hz: int


class Stop(Struct, frozen=True, tag="stop"):
    """Do not go on with `id`."""

    id: int


class SpokenWord(Struct, frozen=True, tag="word"):
    """One word with what follows it in the text, and its samples.

    Attributes:
        text: A slice of the text; the slices of all words make up the whole text.
        pcm: 16-bit little-endian mono at the rate that was asked for; may be empty.
    """

    id: int
    text: str
    pcm: bytes


class Finished(Struct, frozen=True, tag="finished"):
    """Nothing more comes for `id`.

    Attributes:
        problem: Why nothing was spoken, or None.
    """

    id: int
    problem: str | None = None


Told = Speak | Stop
Answer = SpokenWord | Finished

told_decoder: msgspec.msgpack.Decoder[Told] = msgspec.msgpack.Decoder(Told)
answer_decoder: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)
