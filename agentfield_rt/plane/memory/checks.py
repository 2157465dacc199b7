"""What memory takes: keys, values, embeddings, metadata, times. A refusal never repeats what was given."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agentfield_rt.memory import DIMENSIONS_MAX, KEY_CHARS_MAX, VALUE_BYTES_MAX, MemoryRefused, as_json
from agentfield_rt.plane.memory.vectors import packed


def check_key(key: str) -> None:
    """Refuse a key that cannot be stored.

    Raises:
        MemoryRefused: it is empty, too long, or no text.
    """
    if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance] - an author's code, unchecked
        raise MemoryRefused(f"a key is text, this one {type(key).__name__}")
    if not 0 < len(key) <= KEY_CHARS_MAX:
        raise MemoryRefused(f"a key has 1 to {KEY_CHARS_MAX} characters, this one {len(key)}")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise MemoryRefused("a key with half a character in it cannot be stored") from None


def check_value(data: bytes) -> None:
    """Refuse a value that is too large.

    Raises:
        MemoryRefused: it is.
    """
    if len(data) > VALUE_BYTES_MAX:
        raise MemoryRefused(f"a value has at most {VALUE_BYTES_MAX} bytes as JSON, this one {len(data)}")


def packed_embedding(embedding: Sequence[float]) -> bytes:
    """An embedding as it is stored.

    Raises:
        MemoryRefused: it has too many dimensions, none, or what is no number.
    """
    if not 0 < len(embedding) <= DIMENSIONS_MAX:
        raise MemoryRefused(f"an embedding has 1 to {DIMENSIONS_MAX} dimensions, this one {len(embedding)}")
    try:
        return packed(embedding)
    except (TypeError, ValueError, OverflowError):
        raise MemoryRefused("an embedding holds finite numbers of 4 bytes only") from None


def metadata_json(metadata: Mapping[str, Any]) -> bytes:
    """A vector's metadata as it is stored.

    Raises:
        MemoryRefused: it is no JSON, or too large.
    """
    text = as_json(dict(metadata))
    if len(text) > VALUE_BYTES_MAX:
        raise MemoryRefused(f"metadata has at most {VALUE_BYTES_MAX} bytes as JSON, this one {len(text)}")
    return text


def nanoseconds(text: str) -> int:
    """A time as ISO 8601 writes it, in UTC where it names no zone, as nanoseconds since 1970.

    Raises:
        MemoryRefused: it is none.
    """
    try:
        at = datetime.fromisoformat(text)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e9)
    except (ValueError, OverflowError):
        raise MemoryRefused("since is no time as ISO 8601 writes it") from None
