"""What a payload holds: a known shape, the refs its envelope names, and no free text."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from agentfield_journal import Envelope, Privacy
from agentfield_rt.audit.report import Code, Findings, shown
from agentfield_rt.core.records import RECORD_TYPES, Record

NAME_CHARACTERS_MAX = 512
"""Ids, names and codes are no longer than this."""

Data = dict[str, Any]

_PAYLOAD = msgspec.msgpack.Decoder(Data)
_TYPED: dict[str, msgspec.msgpack.Decoder[Record]] = {
    kind: msgspec.msgpack.Decoder(record_type) for kind, record_type in RECORD_TYPES.items()
}
_FIELDS = {kind: frozenset(record_type.__struct_fields__) for kind, record_type in RECORD_TYPES.items()}
_REFS = {
    kind: tuple(name for name in record_type.__struct_fields__ if name.endswith("_ref"))
    for kind, record_type in RECORD_TYPES.items()
}
_REFS_MAY_STAND = frozenset({Privacy.CONTENT_REFS_ONLY, Privacy.SENSITIVE, Privacy.SECRET})
_NAME = re.compile(r"[\w.:-]+", re.ASCII)
_CHOSEN_BY_AUTHORS = frozenset({"tags"})
"""Words from the program, not from a call: bounded, but they may hold spaces."""


class PayloadChecks:
    """Invariants 6, 7 and 38 to 41.

    Args:
        sentinels: Bytes that must not occur in any record.
    """

    def __init__(self, findings: Findings, sentinels: Sequence[bytes] = ()) -> None:
        self._findings = findings
        self._sentinels = tuple(sentinels)

    def check(self, envelope: Envelope) -> Data | None:
        """The payload's fields; None when this version cannot say what they mean."""
        if self._sentinels:
            self._look_for_sentinels(envelope)
        kind = envelope.kind
        typed = _TYPED.get(kind)
        if typed is None:
            self._findings.add(Code.UNKNOWN_KIND, f"Records of kind {shown(kind)} are not known here.")
            return None
        try:
            typed.decode(envelope.payload)
            data = _PAYLOAD.decode(envelope.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._findings.add(Code.BAD_PAYLOAD, f"Its payload is no valid {kind}.")
            return None
        if not data.keys() <= _FIELDS[kind]:
            extra = ", ".join(sorted(shown(name) for name in data.keys() - _FIELDS[kind]))
            self._findings.add(Code.BAD_PAYLOAD, f"Its fields {extra} are not known here.")
        if data.get("op_id") != envelope.op_id:
            self._findings.add(Code.INDEX_DIFFERS, "Envelope and payload name different operations.")
        self._check_refs(envelope, data)
        for name, value in data.items():
            # Most values are numbers or short names; asking for those first is a tenth of the whole audit.
            if type(value) is int or (type(value) is str and len(value) < 64 and _NAME.fullmatch(value)):
                continue
            if not _is_bounded(value, may_hold_spaces=name in _CHOSEN_BY_AUTHORS):
                self._findings.add(
                    Code.FREE_TEXT, f"Its field {shown(name)} holds more than a name or a code."
                )
        return data

    def _check_refs(self, envelope: Envelope, data: Data) -> None:
        refs = {ref for name in _REFS[envelope.kind] if (ref := data.get(name)) is not None}
        if refs != set(envelope.content_refs):
            self._findings.add(Code.REFS_DIFFER, "Envelope and payload name different contents.")
        if refs and envelope.privacy not in _REFS_MAY_STAND:
            self._findings.add(
                Code.PRIVACY_TOO_LOW, f"It refers to content, and its privacy is only {envelope.privacy}."
            )

    def _look_for_sentinels(self, envelope: Envelope) -> None:
        everything = msgspec.msgpack.encode(envelope)
        if any(sentinel in everything for sentinel in self._sentinels):
            self._findings.add(Code.SENTINEL_FOUND, "It holds something that was not to be written down.")


def _is_bounded(value: object, *, may_hold_spaces: bool) -> bool:
    match value:
        case str():
            return (
                len(value) <= NAME_CHARACTERS_MAX
                and value.isprintable()
                and (may_hold_spaces or " " not in value)
            )
        case bytes():
            return len(value) <= NAME_CHARACTERS_MAX
        case list():
            members = cast(list[object], value)
            return all(_is_bounded(member, may_hold_spaces=may_hold_spaces) for member in members)
        case dict():
            fields = cast(Mapping[object, object], value)
            return all(
                _is_bounded(part, may_hold_spaces=may_hold_spaces)
                for field in fields.items()
                for part in field
            )
        case _:
            return True
