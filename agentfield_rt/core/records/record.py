"""What all records share."""

from typing import ClassVar

import msgspec


class Record(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Something that happened. `kind` is its stored name."""

    kind: ClassVar[str]
