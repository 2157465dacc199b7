"""The document that tells a vendor to connect a call to a stream: TwiML, and Telnyx's TeXML after it."""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'

BUSY = f'{_HEAD}<Response><Reject reason="busy"/></Response>'
"""Lets the caller hear that we are busy."""


def connecting(stream: Mapping[str, str], parameters: Mapping[str, str]) -> str:
    """Return the document.

    Args:
        stream: Attributes of its stream.
        parameters: What the stream shall bring in its first message.
    """
    children = "".join(f"<Parameter{_attributes({'name': k, 'value': v})}/>" for k, v in parameters.items())
    return f"{_HEAD}<Response><Connect><Stream{_attributes(stream)}>{children}</Stream></Connect></Response>"


def _attributes(values: Mapping[str, str]) -> str:
    return "".join(f" {name}={quoteattr(_printable(value))}" for name, value in values.items())


def _printable(value: str) -> str:
    """XML has no characters for controls, not even quoted."""
    return "".join(character for character in value if character.isprintable())
