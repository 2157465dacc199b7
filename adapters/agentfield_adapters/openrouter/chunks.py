"""What is read of a streamed chat completion (OpenAI: `chat.completion.chunk`). Shapes only; lenient."""

from typing import Any

import msgspec

from agentfield_adapters.lenient import NOTHING


class Audio(msgspec.Struct, frozen=True, gc=False):
    """Any part of it may be missing. `data` is a piece of 16-bit PCM, not necessarily of whole samples."""

    data: bytes | None = None
    transcript: str | None = None


class Function(msgspec.Struct, frozen=True, gc=False):
    """A piece of a call: the name comes once, the arguments in pieces."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """Pieces of one call have the same index."""

    index: int = 0
    id: str | None = None
    function: Function | None = None


class Delta(msgspec.Struct, frozen=True, gc=False):
    """What is new."""

    content: str | None = None
    audio: Audio | None = None
    tool_calls: tuple[ToolCall, ...] | None = None


class Choice(msgspec.Struct, frozen=True, gc=False):
    """`finish_reason` comes once, if at all."""

    delta: Delta | None = None
    finish_reason: str | None = None


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """One event of the stream; `error` ends it, and the last may bring `usage`."""

    choices: tuple[Choice, ...] | None = None
    error: Any = None
    usage: msgspec.Raw = NOTHING


DONE = b"[DONE]"
decode = msgspec.json.Decoder(Chunk).decode
