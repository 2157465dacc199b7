"""A run in which everything happened once and rightly, and tools to make it wrong."""

import asyncio
from collections.abc import Iterable, Sequence
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from agentfield_journal import Envelope, open_journal
from agentfield_rt.audit.envelopes import genesis
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.core.records.realtime import Limits, WindowTally
from agentfield_rt.core.records.rules import ActionKind
from agentfield_rt.errors import CloseReason, Reason
from agentfield_rt.frames import Media
from agentfield_rt.run import Context, Run

RUN_ID = "run_story"
SESSION_ID = "sess_story"
TOOL = "desk.cancel_order"


def gated(frame_id: str) -> Record:
    return records.BackpressureApplied(
        frame_id=frame_id, media=Media.AUDIO, size_bytes=960, action=records.GateAction.GATE
    )


def window(frames: int) -> WindowTally:
    return WindowTally(
        frames=frames, size_bytes=960 * frames, duration_ms=20 * frames, digest=sha256(bytes(frames)).digest()
    )


def dispatch(op_id: str, key: str) -> Record:
    return records.OutputDispatchRequested(
        op_id=op_id,
        dedupe_key=key,
        destination_kind="webhook",
        destination_id="orders",
        sink="http",
        delivery=records.DeliveryKind.MESSAGE,
        source_id="u1",
        version=1,
        output_ref="ref.out",
        deadline_s=5.0,
    )


def approval(op_id: str, subject: records.ApprovalSubject, target: str, subject_op_id: str) -> Record:
    return records.ApprovalRequested(
        op_id=op_id,
        subject=subject,
        target=target,
        subject_op_id=subject_op_id,
        subject_ref="ref.subject",
        expires_after_s=30.0,
        allowed=(records.ApprovalDecision.APPROVED, records.ApprovalDecision.DENIED),
    )


def granted(op_id: str) -> Record:
    return records.ApprovalGranted(
        op_id=op_id, scope=records.ApprovalScope.ONCE, decided_by=records.Decider.PERSON
    )


CALL: list[Record] = [
    records.SessionStarted(
        target="desk.phone", provider="local", transport="websocket", tools=(TOOL,), approvals=(TOOL,)
    ),
    records.ConnectRequested(op_id="o1", limits=Limits(high_water=2, low_water=1, restarts_max=1)),
    records.Connected(op_id="o1", connection_id="c1"),
    records.InputSendRequested(op_id="o2", media=Media.AUDIO, frames_max=50),
    records.OutputReceiveRequested(op_id="o3", demand=8),
    records.InputSent(op_id="o2", cursor=50, window=window(50)),
    records.OutputReceived(
        op_id="o3", cursor=2, events={"ResponseStarted": 1, "OutputAudio": 1}, started=("r1",)
    ),
    records.TurnStarted(op_id="t1", source=records.TurnSource.SPEECH, understood=True, text_ref="ref.said"),
    records.ExecutionQueued(op_id="e1", target="desk.resolve", input_ref="ref.in"),
    records.ExecutionSucceeded(op_id="e1", result_ref="ref.result"),
    records.UtteranceRequested(op_id="u1", text_ref="ref.answer"),
    records.UtteranceStarted(utterance_id="u1", response_id="r1"),
    records.InterruptRequested(op_id="o4", response_id="r1", heard_ms=40),
    records.Interrupted(op_id="o4", response_id="r1"),
    records.OutputReceiveRequested(op_id="o5", demand=8),
    records.OutputReceiveEmpty(op_id="o5"),
    records.OutputLate(response_id="r1", count=3),
    records.UtteranceInterrupted(op_id="u1", heard_ref="ref.heard", heard_ms=40),
    records.TurnCompleted(op_id="t1"),
    approval("a1", records.ApprovalSubject.TOOL, TOOL, "call_1"),
    granted("a1"),
    records.ToolCallReceived(call_id="call_1", call_ref="ref.call"),
    records.ToolIntentRecorded(op_id="call_1", target=TOOL, approval_op_id="a1"),
    records.ToolResultRecorded(op_id="call_1"),
    records.ToolCallAnswered(call_id="call_1", output_ref="ref.output"),
    records.UtteranceRequested(op_id="u2", text_ref="ref.answer"),
    records.StreamInterventionRequested(
        op_id="i1", match_id="m1", rule_id="rule", version=1, action=ActionKind.PAUSE_FOR_APPROVAL
    ),
    approval("a2", records.ApprovalSubject.INTERVENTION, "rule", "i1"),
    granted("a2"),
    records.StreamInterventionApplied(op_id="i1", approved=True),
    dispatch("d1", "key-1"),
    records.OutputDispatchCompleted(op_id="d1"),
    records.OutputDispatchDeduped(dedupe_key="key-1", completed_op_id="d1"),
    dispatch("d2", "key-2"),
    records.OutputDispatchReconciliationNeeded(op_id="d2", reason=Reason.TIMEOUT),
    records.OutputDispatchReconciled(op_id="d2", decision=records.Decision.DONE),
    records.InputSendRequested(op_id="o6", media=Media.TEXT, frame_id="f1", size_bytes=5),
    records.InputSendUnknown(op_id="o6", reason=Reason.TIMEOUT),
    records.Reconciled(op_id="o6", decision=records.Decision.ABANDONED),
    records.ConnectionLost(reason=Reason.CONNECTION_LOST),
    records.UtteranceResumed(utterance_id="u2", heard_ms=500, heard_ref="ref.heard"),
    records.RestartRequested(reason=Reason.CONNECTION_LOST),
    records.RestartStarted(op_id="o7"),
    gated("g1"),
    gated("g2"),
    records.RestartCompleted(op_id="o7", connection_id="c2"),
    records.ConversationRestored(connection_id="c2", attempt=1, restored=4, gap_ms=40, left_out=1),
    records.BackpressureReleased(frame_id="g1"),
    records.InputSendRequested(op_id="o8", media=Media.AUDIO, frame_id="g1", size_bytes=960),
    records.InputSent(op_id="o8", cursor=51),
    records.InputDropped(frame_id="g2", reason=Reason.CANCELLED),
    records.UtterancePlayed(op_id="u2", heard_ref="ref.heard"),
    records.CloseRequested(op_id="o9", reason=CloseReason.NORMAL),
    records.Closed(op_id="o9", reason=CloseReason.NORMAL),
    records.SessionEnded(reason=CloseReason.NORMAL),
]


async def _stored(history: Sequence[Record], last: Record | None) -> list[Envelope]:
    async with open_journal("memory:") as journal:
        run = await Run.open(journal, RUN_ID, clock=lambda: 0)
        for record in history:
            run.append([record], Context(session_id=SESSION_ID))
        if last is not None:
            await run.seal(last)
        await run.durable()
        return await journal.read(RUN_ID)


def stored(history: Sequence[Record], last: Record | None = None) -> list[Envelope]:
    """`history` as a journal holds it; with `last`, sealed by the runtime itself."""
    return asyncio.run(_stored(history, last))


def chained(envelopes: Iterable[Envelope]) -> list[Envelope]:
    """The same records in their places: numbered anew and chained anew, as a forger would."""
    story: list[Envelope] = []
    previous = genesis(RUN_ID)
    for seq, envelope in enumerate(envelopes, 1):
        digest = sha256(previous + seq.to_bytes(8, "big") + envelope.record_id.encode()).digest()
        story.append(replace(envelope, seq=seq, prev_hash=previous, hash=digest))
        previous = digest
    return story


def rewritten(envelope: Envelope, **fields: object) -> Envelope:
    """With other fields in its payload."""
    data = msgspec.msgpack.decode(envelope.payload)
    data.update(msgspec.to_builtins(fields, builtin_types=(bytes,)))
    return replace(envelope, payload=msgspec.msgpack.encode(data))


def spliced(
    story: Sequence[Envelope], at: int, *, drop: int = 0, insert: Sequence[Record | Envelope] = ()
) -> list[Envelope]:
    """`story` with `insert` in place of the `drop` records at index `at`."""
    made = [_enveloped(item, number) for number, item in enumerate(insert)]
    openers = {
        envelope.op_id: envelope.record_id for envelope in story[:at] if envelope.request_record_id is None
    }
    linked = [
        envelope
        if envelope.record_id.startswith("1.") or envelope.op_id not in openers
        else replace(envelope, request_record_id=openers[envelope.op_id])
        for envelope in made
    ]
    return chained([*story[:at], *linked, *story[at + drop :]])


def _enveloped(item: Record | Envelope, number: int) -> Envelope:
    if isinstance(item, Envelope):
        return item
    refs = tuple(
        value
        for name in item.__struct_fields__
        if name.endswith("_ref") and isinstance(value := getattr(item, name), str)
    )
    return Envelope(
        record_id=f"inserted-{number}",
        kind=item.kind,
        at_ns=0,
        payload=msgspec.msgpack.encode(item),
        op_id=getattr(item, "op_id", None),
        session_id=SESSION_ID,
        content_refs=refs,
        run_id=RUN_ID,
        seq=0,
        epoch=1,
        prev_hash=b"",
        hash=b"",
    )


def index_of(story: Sequence[Envelope], kind: str, op_id: str | None = None) -> int:
    """Where the first record of this kind (and operation) stands, counted from 0."""
    return next(
        index
        for index, envelope in enumerate(story)
        if envelope.kind == kind and op_id in (None, envelope.op_id)
    )
