"""Reads what a provider reports beside the conversation: what cannot be read is nothing, and does no harm."""

from collections.abc import Mapping
from typing import Any, TypeGuard, cast

import msgspec

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are no JSON, or not of the shape, or nested without end."""

NOTHING = msgspec.Raw(b"null")
"""The default of a field that is read here, if at all: its shape must not cost the event it comes with."""

_COUNT_MAX = 2**53 - 1
_decoder = msgspec.json.Decoder()


def told(raw: msgspec.Raw) -> Any:
    """What is written there; None for what cannot be held, such as a number without end."""
    try:
        return _decoder.decode(raw)
    except UNREADABLE:
        return None


def as_object(value: object) -> Mapping[str, Any]:
    """The object, or an empty one for anything else."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    """The list, or an empty one for anything else."""
    return cast(list[object], value) if isinstance(value, list) else []


def count(of: Mapping[str, Any], name: str) -> int:
    """A number of something; 0 where there is none."""
    return scaled(of, name, 1)


def scaled(of: Mapping[str, Any], name: str, factor: int) -> int:
    """A number times `factor`, not negative and within what the journal takes."""
    value = of.get(name)
    return int(min(max(value * factor, 0), _COUNT_MAX)) if _is_number(value) else 0


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
