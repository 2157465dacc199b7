"""What must hold of a journal whose process died, and of the world outside, once somebody has recovered."""

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from agentfield_journal import Envelope
from agentfield_rt.audit import audit
from agentfield_rt.core import records
from agentfield_rt.core.deliveries import replay as replay_deliveries
from agentfield_rt.core.evolve import replay
from agentfield_rt.core.lifecycle import CLOSES, FEATURE_OPERATIONS, OPENERS
from agentfield_rt.core.records import Record, WindowTally
from agentfield_rt.frames import Media
from agentfield_rt.run import decode, realtime_records
from agentfield_rt.testing import RuleBroken
from agentfield_rt.testing.held_calls import Acts, Method
from tests.recovery.process import RUN, SESSION, World

CLOSERS = frozenset(CLOSES).union(*FEATURE_OPERATIONS.values())
UNANNOUNCED: dict[Method, tuple[str, ...]] = {
    "connect": (records.ConnectRequested.kind,),
    "restart": (records.RestartStarted.kind,),
    "close": (records.CloseRequested.kind, records.EmergencyClosed.kind),
}
"""Calls without a subject: as many as there are intents. An emergency close is written down afterwards."""


def require(holds: object, otherwise: str) -> None:
    if not holds:
        raise RuleBroken(otherwise)


def check(world: World, envelopes: Sequence[Envelope], *, emergencies: int = 0) -> None:
    """Everything below, on a run in which nothing is left open.

    Args:
        emergencies: Calls of `close` that may have been made without an intent.
    """
    history = [decode(envelope) for envelope in envelopes]
    check_journal(envelopes, history)
    check_windows(world, history)
    check_effects(world, envelopes, history, emergencies)
    check_told(world, envelopes)


def check_journal(envelopes: Sequence[Envelope], history: Sequence[Record]) -> None:
    """The auditor finds nothing, every opener has one closer, every frame that waited has a fate."""
    require(
        not (found := audit(envelopes).findings), f"the auditor: {[f'{f.seq}: {f.problem}' for f in found]}"
    )
    opened = Counter(_op_id(record) for record in history if type(record) in OPENERS)
    closed = Counter(_op_id(record) for record in history if type(record) in CLOSERS)
    require(opened == closed, f"opened or closed only: {opened - closed} {closed - opened}")
    state = replay(SESSION, realtime_records(envelopes, SESSION))
    require(not state.gated, "frames wait and nobody will send them")
    require(not state.unknown, "somebody still has to say what became of an operation")
    require(not replay_deliveries(RUN, history).unresolved, "nobody has said what became of a delivery")


def check_windows(world: World, history: Sequence[Record]) -> None:
    """What the records say of audio is what the provider heard, in order, byte by byte, each frame once.

    Where a window is in doubt, anything up to its last announced frame may have been heard, and no more.
    """
    heard, openers = world.heard_audio, dict[str, records.InputSendRequested]()
    places, counted = {0}, 0
    for record in history:
        match record:
            case records.InputSendRequested(op_id=op_id):
                openers[op_id] = record
            case records.InputSent(op_id=op_id, cursor=cursor, window=window):
                counted += 1 if window is None else window.frames
                require(cursor == counted, f"the cursor is {cursor}, and {counted} frames were counted")
            case records.InputSendFailed(window=window) | records.InputSendUnknown(window=window):
                counted += 0 if window is None else window.frames
            case _:
                pass
        if isinstance(record, records.InputSent | records.InputSendFailed | records.InputSendUnknown):
            opener = openers[record.op_id]
            if opener.media is Media.AUDIO:
                places = _after(record, opener, places, heard)
    require(len(heard) in places, f"{len(heard)} frames were heard; the records allow {sorted(places)}")


def _after(
    record: records.InputSent | records.InputSendFailed | records.InputSendUnknown,
    opener: records.InputSendRequested,
    places: set[int],
    heard: Sequence[bytes],
) -> set[int]:
    """How many frames may have been heard after a send, from how many may have been before it."""
    window, is_sent = record.window, isinstance(record, records.InputSent)
    frames = window.frames if window is not None else int(is_sent)
    certain = {place + frames for place in places if _is_heard(heard[place : place + frames], window, frames)}
    require(certain, f"what {record.kind} of {record.op_id} says was sent is not what was heard")
    if not isinstance(record, records.InputSendUnknown):
        return certain
    most = opener.frames_max - frames
    return {place for first in certain for place in range(first, min(first + most, len(heard)) + 1)}


def _is_heard(heard: Sequence[bytes], window: WindowTally | None, frames: int) -> bool:
    if len(heard) < frames:
        return False
    return window is None or sha256(b"".join(heard)).digest() == window.digest


def check_effects(
    world: World, envelopes: Sequence[Envelope], history: Sequence[Record], emergencies: int
) -> None:
    """Nothing happened twice, nor without an intent that survived."""
    require(not (repeated := world.effects.repeated()), f"happened more than once: {repeated}")
    kinds = Counter(envelope.kind for envelope in envelopes)
    calls = Counter(call.method for call in world.effects.calls if call.acts is not Acts.NO)
    for method, intents in UNANNOUNCED.items():
        allowed = sum(kinds[intent] for intent in intents) + (emergencies if method == "close" else 0)
        require(calls[method] <= allowed, f"{calls[method]} calls of {method} and {allowed} intents")
    said = {subject for record in history if (subject := _subject(record)) is not None}
    for call in world.effects.calls:
        in_window = call.method == "send" and call.subject.startswith(("audio", "frm"))
        require(
            not call.subject or in_window or call.subject in said,
            f"{call.method} {call.subject} was called and no record announces it",
        )
    sent = {frame.frame_id for frame in world.heard}
    done = {record.op_id for record in history if isinstance(record, records.InputSent)}
    asked = {r.frame_id for r in history if isinstance(r, records.InputSendRequested) and r.op_id in done}
    asked -= {None}  # of a window, the digest speaks
    require(asked <= sent, f"recorded as sent, and never heard: {asked - sent}")
    dropped = {record.frame_id for record in history if isinstance(record, records.InputDropped)}
    require(not (both := sent & dropped), f"sent, and recorded as dropped: {both}")
    op_ids = {envelope.op_id for envelope in envelopes if envelope.op_id is not None}
    keys = {r.dedupe_key for r in history if isinstance(r, records.OutputDispatchRequested)}
    for what, happened, announced in (
        ("asked", world.asked, op_ids),
        ("ran", world.ran, op_ids),
        ("delivered", world.delivered, keys),
    ):
        require(all(n == 1 for n in happened.values()), f"{what} more than once: {happened}")
        require(happened.keys() <= announced, f"{what} without an intent that survived")


def check_told(world: World, envelopes: Sequence[Envelope]) -> None:
    """Nothing is missing that somebody was told is durable."""
    require(
        len(envelopes) >= world.told_seq, f"{world.told_seq} records were durable, {len(envelopes)} are there"
    )
    there = {(envelope.kind, op_id) for envelope in envelopes for op_id in (None, envelope.op_id)}
    for told in world.told:
        require((told.kind, told.op_id) in there, f"{told.kind} of {told.op_id} was promised and is missing")


def _subject(record: Record) -> str | None:
    match record:
        case records.InputSendRequested(frame_id=frame_id):
            return frame_id
        case records.InterruptRequested(response_id=response_id):
            return response_id
        case _:
            return None


def _op_id(record: Any) -> str:
    return str(record.op_id)
