"""What the recogniser's process is told and what it answers. An `ear` is one conversation's recogniser."""

from __future__ import annotations

import msgspec
from msgspec import Struct


class Expect(Struct, frozen=True, tag="expect"):
    """Listen for the sentences of a JSGF grammar from now on."""

    ear: int
    grammar: str


class Begin(Struct, frozen=True, tag="begin"):
    """A turn begins.

    Attributes:
        live: Whether words are wanted while it is spoken.
    """

    ear: int
    turn: int
    live: bool


class Hear(Struct, frozen=True, tag="hear"):
    """More audio of the turn: mono int16 PCM at 16 kHz."""

    ear: int
    pcm: bytes


class Recognise(Struct, frozen=True, tag="recognise"):
    """Say what the turn was, as far as it has been heard; it may go on afterwards."""

    ear: int
    request: int


class Forget(Struct, frozen=True, tag="forget"):
    """The conversation is over."""

    ear: int


class Expecting(Struct, frozen=True, tag="expecting"):
    """The grammar is in use.

    Attributes:
        problem: Why it is not, or None; then the one before is still in use.
    """

    ear: int
    problem: str | None


class Words(Struct, frozen=True, tag="words"):
    """What the turn seems to be so far; the last word may still change."""

    ear: int
    turn: int
    words: list[str]


class Recognised(Struct, frozen=True, tag="recognised"):
    """What a turn was.

    Attributes:
        text: None when it fits nothing the grammar allows.
        score: Mean natural logarithm of the acoustic score per 10 ms of the words; nearer 0 is surer.
    """

    ear: int
    request: int
    text: str | None
    score: float


Told = Expect | Begin | Hear | Recognise | Forget
Answer = Expecting | Words | Recognised

told_decoder: msgspec.msgpack.Decoder[Told] = msgspec.msgpack.Decoder(Told)
answer_decoder: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)
