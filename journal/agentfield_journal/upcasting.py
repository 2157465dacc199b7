"""Old payloads read as new ones: a chain of steps by number on raw data. What is stored never changes.

Knows no kind of record; whoever owns a kind registers its steps.
"""

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from agentfield_journal.envelope import Envelope
from agentfield_journal.errors import UnknownVersion

Raw: TypeAlias = dict[str, object]
Step: TypeAlias = Callable[[Raw], Raw]

_decode = msgspec.msgpack.Decoder(dict[str, object]).decode


class Upcasters:
    """Steps from each version of a kind's payload to the next."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, int], Step] = {}
        self._latest: dict[str, int] = {}

    def latest(self, kind: str) -> int:
        """The newest version known of `kind`; 1 for a kind without steps."""
        return self._latest.get(kind, 1)

    def register(self, kind: str, *, from_version: int) -> Callable[[Step], Step]:
        """Decorate the function that turns a payload of `from_version` into the next version.

        Raises:
            ValueError: that step exists, or the one before it is missing.
        """

        def add(step: Step) -> Step:
            if from_version != self.latest(kind):
                raise ValueError(f"the next step of {kind} is from version {self.latest(kind)}")
            self._steps[kind, from_version] = step
            self._latest[kind] = from_version + 1
            return step

        return add

    def payload(self, record: Envelope) -> Raw:
        """The payload of `record` in the newest version of its kind.

        Raises:
            UnknownVersion: the record is newer than what is known; names both.
            msgspec.MsgspecError: the payload is not a map.
        """
        latest = self.latest(record.kind)
        if record.version > latest:
            raise UnknownVersion(
                f"record {record.seq} of run {record.run_id}: {record.kind} has version {record.version},"
                f" this process knows up to {latest}; upgrade it"
            )
        raw = _decode(record.payload)
        for version in range(record.version, latest):
            raw = self._steps[record.kind, version](raw)
        return raw
