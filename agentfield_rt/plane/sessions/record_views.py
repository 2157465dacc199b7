"""A record as JSON for people and pages, with the text behind its references where it may be shown."""

from typing import Any, cast

import msgspec

from agentfield_journal import ContentGone, ContentStore
from agentfield_journal.envelope import Envelope
from agentfield_rt.core.records import CallerDigitReceived, ImageReceived, RecordingSegmentStored

_PAYLOAD = msgspec.msgpack.Decoder(dict[str, Any])

_NEVER_SHOWN = frozenset({CallerDigitReceived.kind, ImageReceived.kind, RecordingSegmentStored.kind})
"""Records whose content stays behind its reference here: digits may be a PIN, the others are no text."""

_SECRET_FIELD = "webhook_ref"
"""With what whoever is told of an execution is signed to; it stays behind its reference."""


async def record_view(envelope: Envelope, content: ContentStore | None) -> dict[str, Any]:
    """The record; `content` resolves its references (None leaves them unresolved)."""
    data = _PAYLOAD.decode(envelope.payload)
    view: dict[str, Any] = {
        "seq": envelope.seq,
        "kind": envelope.kind,
        "at_ms": envelope.at_ns / 1e6,
        "session_id": envelope.session_id,
        "turn_id": envelope.turn_id,
        "op_id": envelope.op_id,
        "data": _plain(data),
    }
    if content is not None and envelope.content_refs and envelope.kind not in _NEVER_SHOWN:
        shown = (ref for ref in envelope.content_refs if ref != data.get(_SECRET_FIELD))
        view["content"] = {ref: await _text(ref, content) for ref in shown}
    return view


def _plain(value: object) -> Any:
    """JSON has no bytes: digests as hex, as everywhere else."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in cast(dict[str, object], value).items()}
    return value


async def _text(ref: str, content: ContentStore) -> str | None:
    """None where the content was erased: the record stays, what was said does not."""
    try:
        return (await content.get(ref)).decode(errors="replace")
    except ContentGone:
        return None
