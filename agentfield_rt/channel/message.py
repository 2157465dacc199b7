"""What all messages of the channel share."""

import re

import msgspec

VERSION = 1
"""Of the protocol. Both ends ignore fields they do not know; another version is another protocol."""

MESSAGE_BYTES_MAX = 1024 * 1024
"""Of one frame as it is on the wire, UTF-8. Larger results belong into a store of the application's."""

_BEFORE_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


def _snake(name: str) -> str:
    return _BEFORE_CAPITAL.sub("_", name).lower()


class Message(
    msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="type", tag=_snake
):
    """One message; `type` is its name in snake case."""
