"""Records as rows of a table: when, what, and what is worth knowing about it. Prints nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from agentfield_journal.envelope import Envelope
from agentfield_rt.frames import Media

ROUTINE = frozenset({"realtime_output_receive_requested", "realtime_output_received"})
"""Records of a provider's events that came as they always do."""
_SHOWN_ELSEWHERE = frozenset({"op_id", "frame_id"})
_ID_CHARACTERS = 12


def payload_of(envelope: Envelope) -> dict[str, Any]:
    """A record's payload as a map of JSON's types; one that is no such map as what it is, under `payload`."""
    try:
        payload = msgspec.msgpack.decode(envelope.payload)
        json = msgspec.to_builtins(payload, str_keys=True)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        json = envelope.payload.hex()
    return cast(dict[str, Any], json) if isinstance(json, dict) else {"payload": json}


@dataclass(frozen=True, slots=True)
class Row:
    """One record for a person to read.

    Attributes:
        at_ms: Milliseconds since the run's first record.
        depth: 1 for an outcome, which stands under its intent's indentation.
        took_ms: From intent to outcome.
        details: The record's own fields, `name=value`.
    """

    seq: int
    at_ms: float
    kind: str
    depth: int
    took_ms: float | None
    turn: str
    details: str


def rows(envelopes: Sequence[Envelope], texts: Mapping[str, str], *, every: bool) -> Iterator[Row]:
    """A row for each record; without `every`, none for provider events that arrived as expected."""
    began_ns: dict[str, int] = {}
    turns: dict[str, str] = {}
    routine: set[str | None] = set()
    for envelope in envelopes:
        data = payload_of(envelope)
        opened_ns = began_ns.get(envelope.request_record_id or "")
        began_ns[envelope.record_id] = envelope.at_ns
        if envelope.turn_id is not None:
            turns.setdefault(envelope.turn_id, f"turn {len(turns) + 1}")
        if envelope.kind == "realtime_input_send_requested" and data.get("media") == Media.AUDIO:
            routine.add(envelope.record_id)  # again and again while the microphone is open
        is_routine = envelope.kind in ROUTINE or envelope.record_id in routine
        is_routine |= envelope.kind == "realtime_input_sent" and envelope.request_record_id in routine
        if is_routine and not every:
            continue
        yield Row(
            seq=envelope.seq,
            at_ms=(envelope.at_ns - envelopes[0].at_ns) / 1e6,
            kind=envelope.kind,
            depth=0 if opened_ns is None else 1,
            took_ms=None if opened_ns is None else (envelope.at_ns - opened_ns) / 1e6,
            turn=turns.get(envelope.turn_id or "", ""),
            details=", ".join(_details(data, envelope, texts)),
        )


def details(envelope: Envelope) -> str:
    """The fields of one record by itself, `name=value`; references stay references."""
    return ", ".join(_details(payload_of(envelope), envelope, {}))


def _details(data: Mapping[str, Any], envelope: Envelope, texts: Mapping[str, str]) -> Iterator[str]:
    if envelope.op_id is not None and not envelope.kind.startswith("turn_"):
        yield _short(envelope.op_id)
    for name, value in data.items():
        if name in _SHOWN_ELSEWHERE:
            continue
        if name.endswith("_ref") and isinstance(value, str):
            said = texts.get(value)
            yield f"{name.removesuffix('_ref')}=“{said}”" if said is not None else f"{name}={_short(value)}"
        elif name.endswith("_ns") and isinstance(value, int):
            yield f"{name.removesuffix('_ns')}={(envelope.at_ns - value) / 1e6:.0f} ms before"
        elif isinstance(value, dict):
            yield f"{name}={_mapping(cast(dict[str, object], value)) or '-'}"
        elif isinstance(value, list):
            yield f"{name}={' '.join(map(str, cast(list[object], value))) or '-'}"
        else:
            yield f"{name}={_short(value) if name.endswith('_id') and isinstance(value, str) else value}"


def _mapping(value: Mapping[str, object]) -> str:
    """Audio that flowed as its length; counts by name as `name:count`."""
    match value:
        case {"digest": _, "frames": frames, "duration_ms": int(duration_ms)}:
            return f"{frames} frames, {duration_ms / 1000:.2f} s"
        case _:
            pass
    return " ".join(f"{name}:{count}" for name, count in value.items())


def _short(identifier: str) -> str:
    """The end of a long id: its beginning is the same for all of a call."""
    kind, _, rest = identifier.rpartition("_") if "." not in identifier else ("", "", identifier)
    if len(rest) <= _ID_CHARACTERS:
        return (
            identifier if len(identifier) <= 2 * _ID_CHARACTERS else f"{kind.partition('_')[0]}_…{rest[-6:]}"
        )
    return f"{kind.partition('_')[0] + '_' if kind else ''}…{rest[-6:]}"
