"""Runs in which everything overlaps at random: sessions, turns, tools, approvals, deliveries."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from agentfield_rt.core import commands, records
from agentfield_rt.core.completion import GATE_KINDS, Completion, Fact
from agentfield_rt.core.decide import decide
from agentfield_rt.core.evolve import replay
from agentfield_rt.core.records import Record
from agentfield_rt.errors import CloseReason, Reason
from tests.audit.story import approval, dispatch
from tests.core.test_fold import wander

REASON = Reason.CANCELLED


@dataclass(frozen=True)
class Said:
    """A record and the session it is of."""

    record: Record
    session_id: str


def operation(choose: random.Random, name: str) -> tuple[Record, Record]:
    """An opener above the provider boundary, and one of its closers."""
    pairs: list[tuple[Record, list[Record]]] = [
        (
            records.TurnStarted(op_id=name, source=records.TurnSource.TEXT, understood=True),
            [records.TurnCompleted(op_id=name), records.TurnFailed(op_id=name, reason=REASON)],
        ),
        (
            records.UtteranceRequested(op_id=name, text_ref="ref"),
            [records.UtterancePlayed(op_id=name), records.UtteranceSkipped(op_id=name, reason=REASON)],
        ),
        (
            records.ExecutionQueued(op_id=name, target="desk.x", input_ref="ref"),
            [records.ExecutionCancelled(op_id=name), records.ExecutionFailed(op_id=name, reason=REASON)],
        ),
        (records.ToolIntentRecorded(op_id=name, target="desk.x"), [records.ToolResultRecorded(op_id=name)]),
        (
            approval(name, records.ApprovalSubject.TOOL, "desk.x", name),
            [records.ApprovalExpired(op_id=name), records.ApprovalCancelled(op_id=name)],
        ),
        (
            dispatch(name, name),
            [
                records.OutputDispatchCompleted(op_id=name),
                records.OutputDispatchFailed(op_id=name, reason=REASON),
                records.OutputDispatchReconciliationNeeded(op_id=name, reason=REASON),
            ],
        ),
    ]
    opener, closers = choose.choice(pairs)
    return opener, choose.choice(closers)


def history(seed: int, *, ends: bool = True) -> list[Said]:
    """Sessions and operations woven together, each in its own order; with `ends`, all end."""
    choose = random.Random(seed)
    strands: list[list[list[Said]]] = []
    for number in range(choose.randrange(3)):
        strands.append(_session(choose, f"s{number}", ends=ends))
    for number in range(choose.randrange(6)):
        opener, closer = operation(choose, f"op{number}")
        strand = [[Said(opener, "s0")], [Said(closer, "s0")]]
        strands.append(strand if ends else strand[: choose.choice([1, 2, 2])])
    woven: list[Said] = []
    while strands:
        strand = choose.choice(strands)
        woven += strand.pop(0)
        strands = [left for left in strands if left]
    return woven


def _session(choose: random.Random, session_id: str, *, ends: bool) -> list[list[Said]]:
    """Batches: a restart is asked for and begun in one."""
    boundary = wander(choose.randrange(2**32), choose.randrange(40))
    if ends:
        boundary = [*boundary, *_ending(boundary)]
    started = records.SessionStarted(target="desk.phone", provider="local", transport="websocket")
    talk: list[Record] = [started, *boundary]
    if ends or choose.random() < 0.5:
        talk.append(records.SessionEnded(reason=CloseReason.NORMAL))
    batches: list[list[Said]] = []
    for record in talk:
        op_id = getattr(record, "op_id", None)
        named = record if op_id is None else replace(record, **{"op_id": f"{session_id}.{op_id}"})
        if isinstance(record, records.RestartStarted):
            batches[-1].append(Said(named, session_id))
        else:
            batches.append([Said(named, session_id)])
    return batches


def _ending(boundary: Sequence[Record]) -> list[Record]:
    """What brings a session to its end from wherever it is: it fails, and every doubt is given up."""
    state = replay("s", boundary)
    ending = list(decide(state, commands.Fail(Reason.INTERNAL)))
    state = replay("s", [*boundary, *ending])
    for op_id in state.unknown:
        ending += decide(state, commands.Reconcile(op_id, records.Decision.ABANDONED))
    return ending


def facts(said: Sequence[Said]) -> list[Fact]:
    """As a gate sees them."""
    return [
        Fact(
            seq,
            one.record.kind,
            getattr(one.record, "op_id", None),
            one.session_id,
            getattr(one.record, "frame_id", None) if one.record.kind in GATE_KINDS else None,
        )
        for seq, one in enumerate(said, 1)
    ]


def folded(said: Sequence[Said]) -> Completion:
    """The fold of all of them."""
    completion = Completion()
    for fact in facts(said):
        completion.add(fact)
    return completion
