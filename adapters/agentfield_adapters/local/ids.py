"""Ids and padding in the vendor's shape, drawn from a seed so that the same input gives the same events."""

from __future__ import annotations

import random
import string

_ALPHABET = string.ascii_letters + string.digits
_SUFFIX_LENGTH = 21
_PADDING_LENGTH_MAX = 16


class Ids:
    """A stream of ids that depends on nothing but its seed and its scope.

    Args:
        seed: The provider's seed.
        scope: What the stream is for, such as the ordinal of a session, so that two sessions of one
            provider never share an id.
    """

    def __init__(self, seed: int, scope: str) -> None:
        self._random = random.Random(f"{seed}/{scope}")

    def new(self, prefix: str) -> str:
        """Return `prefix`, an underscore and 21 characters (OpenAI Realtime: `item_…`, `resp_…`)."""
        return f"{prefix}_{self._characters(_SUFFIX_LENGTH)}"

    def padding(self) -> str:
        """Return the random `obfuscation` that the vendor adds to every delta."""
        return self._characters(self._random.randint(1, _PADDING_LENGTH_MAX))

    def _characters(self, count: int) -> str:
        return "".join(self._random.choices(_ALPHABET, k=count))
