"""What must hold of a world when it is over, and what was worth seeing in it."""

from collections import Counter
from collections.abc import Iterable

from agentfield_journal import Envelope, verify
from agentfield_rt.audit import audit
from agentfield_rt.completion import finished
from agentfield_rt.core import records
from agentfield_rt.core.completion import SEALS
from agentfield_rt.run import decode
from tests.simulation.lines import RunBook
from tests.simulation.storage import ProcessJournal

LAST_RECORDS = 12


async def check(journal: ProcessJournal, books: Iterable[RunBook]) -> Counter[str]:
    """Look at every run; returns what was seen.

    Raises:
        AssertionError: a promise was broken.
    """
    seen: Counter[str] = Counter()
    report = await verify(journal.engine)
    assert report.sound, report.findings
    for book in books:
        envelopes = await journal.read(book.run_id)
        try:
            _check_run(envelopes, book)
            if envelopes:
                await finished(journal, book.run_id)
        except AssertionError as error:
            error.add_note(f"the last records of {book.run_id}:")
            for envelope in envelopes[-LAST_RECORDS:]:
                error.add_note(f"  {envelope.seq} {envelope.kind} {envelope.op_id or ''}")
            raise
        seen.update(envelope.kind for envelope in envelopes)
        seen.update(_seen(envelopes))
    return seen


def _check_run(envelopes: list[Envelope], book: RunBook) -> None:
    findings = [f"{f.seq}: {f.problem}" for f in audit(envelopes).findings]
    assert not findings, findings
    epochs = [envelope.epoch for envelope in envelopes]
    assert epochs == sorted(epochs), "an owner wrote after the next one had claimed the run"
    if book.begun and envelopes:
        assert envelopes[-1].kind in SEALS, f"{book.run_id} is not sealed"
    _check_outside(envelopes, book)


def _check_outside(envelopes: list[Envelope], book: RunBook) -> None:
    """What happened outside happened once, and the journal announced it: also what a dead process did."""
    outside = book.outside
    outside.effects.require_at_most_once()
    repeated = [key for key, times in (*outside.arrived.items(), *outside.ran.items()) if times > 1]
    assert not repeated, f"outside more than once: {repeated}"
    history = [decode(envelope) for envelope in envelopes]
    frames = {record.frame_id for record in history if isinstance(record, records.InputSendRequested)}
    sent = {call.subject for call in outside.effects.calls if call.method == "send"}
    unannounced = {frame_id for frame_id in sent if not _flows(frame_id)} - frames
    assert not unannounced, f"sent and not announced: {sorted(unannounced)}"
    keys = {r.dedupe_key for r in history if isinstance(r, records.OutputDispatchRequested)}
    assert set(outside.arrived) <= keys, "delivered and not announced"
    responses = {r.response_id for r in history if isinstance(r, records.InterruptRequested)}
    stopped = {call.subject for call in outside.effects.calls if call.method == "interrupt"}
    assert stopped <= responses, "interrupted and not announced"
    connections = sum(call.method in ("connect", "restart") for call in outside.effects.calls)
    asked = sum(isinstance(r, records.ConnectRequested | records.RestartRequested) for r in history)
    assert connections <= asked, f"{connections} connections, {asked} announced"
    _check_tools(history, book)


def _check_tools(history: list[records.Record], book: RunBook) -> None:
    granted: set[str] = set()
    targets: set[str] = set()
    openers = {r.op_id: r for r in history if isinstance(r, records.ApprovalRequested)}
    started = [record for record in history if isinstance(record, records.SessionStarted)]
    approved_targets = {target for record in started for target in record.approvals}
    for record in history:
        if isinstance(record, records.ApprovalGranted):
            request = openers[record.op_id]
            granted.add(request.subject_op_id)
            if record.scope is records.ApprovalScope.SESSION:
                targets.add(request.target)
        elif isinstance(record, records.ToolIntentRecorded) and record.target in approved_targets:
            allowed = record.op_id in granted or record.target in targets
            assert allowed, f"the intent of {record.op_id} has no approval"
    announced = {r.op_id for r in history if isinstance(r, records.ToolIntentRecorded)}
    assert set(book.outside.ran) <= announced, f"ran unannounced: {set(book.outside.ran) - announced}"


def _flows(frame_id: str) -> bool:
    """Whether it is user audio, which windows announce by number and not by name."""
    return frame_id.startswith(("audio-", "frm_"))


def _seen(envelopes: list[Envelope]) -> Iterable[str]:
    """What no single kind of record shows."""
    openers: dict[str, records.Record] = {}
    before: dict[str | None, str] = {}
    for envelope in envelopes:
        record = decode(envelope)
        if isinstance(record, records.InputSendRequested) and record.frames_max > 1:
            openers[record.op_id] = record
        if isinstance(record, records.InputSendUnknown) and record.op_id in openers:
            yield "window unknown"
        was_window = before.get(envelope.session_id) in ("window", "realtime_output_received")
        if was_window and isinstance(record, records.RestartRequested):
            yield "window cut"
        is_window = isinstance(record, records.InputSent) and record.window is not None
        before[envelope.session_id] = "window" if is_window else envelope.kind
    if len({envelope.epoch for envelope in envelopes}) > 1:
        yield "a run had several owners"
