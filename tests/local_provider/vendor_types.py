"""The vendor's own types as a strict judge: every field known, every value of its type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from openai.types.realtime import RealtimeServerEvent
from pydantic import BaseModel, TypeAdapter

# What the service sends although its client's types do not have it; nothing else is forgiven.
SENT_BY_THE_SERVICE = frozenset({"obfuscation", "session.id", "session.object", "session.expires_at"})

_events: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


def judged(data: str | bytes) -> BaseModel:
    """Return an event as the vendor's type for it.

    Raises:
        ValidationError: A value is not of its type.
        AssertionError: A field is unknown to the vendor.
    """
    event: BaseModel = _events.validate_json(data, strict=True)
    unknown = set(unknown_fields(event)) - SENT_BY_THE_SERVICE
    assert not unknown, f"{type(event).__name__}: {sorted(unknown)}"
    return event


def unknown_fields(value: object, path: str = "") -> Iterator[str]:
    """Yield the paths of fields that the vendor's types do not have."""
    if isinstance(value, BaseModel):
        for name in value.model_extra or {}:
            yield f"{path}.{name}".lstrip(".")
        for name in value.model_fields_set & set(type(value).model_fields):
            yield from unknown_fields(getattr(value, name), f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for part in cast(list[object], value):
            yield from unknown_fields(part, path)
