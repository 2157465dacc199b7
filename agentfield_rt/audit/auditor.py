"""Reads a journal as somebody who does not trust who wrote it, in one pass.

Knows what the runtime promises (`tables`), not how it keeps it: neither the fold nor the completion gate is
used here, so a mistake in them is seen.
"""

from collections.abc import Callable, Iterable, Sequence

from agentfield_journal import Envelope, JournalCorrupt, StoreJournal
from agentfield_rt.audit.conversations import ConversationChecks
from agentfield_rt.audit.envelopes import EnvelopeChecks
from agentfield_rt.audit.features import FeatureChecks
from agentfield_rt.audit.operations import Operations
from agentfield_rt.audit.payloads import Data, PayloadChecks
from agentfield_rt.audit.recordings import RecordingChecks
from agentfield_rt.audit.report import Code, Finding, Findings, Report, shown
from agentfield_rt.audit.sessions import SessionAudit
from agentfield_rt.audit.tables import AFTER_SEAL, PHASES, SEALS, VISIBLE

_PAGE_RECORDS = 2_000


class Auditor:
    """Audits one run, record by record in order. It keeps what is open, its sessions, and so much of what
    is over as the modules beside this one say (`…_MAX`).

    Args:
        sentinels: Bytes that must not occur in any record.
    """

    def __init__(self, sentinels: Sequence[bytes] = ()) -> None:
        self._findings = Findings()
        self._records = 0
        self._envelopes = EnvelopeChecks(self._findings)
        self._payloads = PayloadChecks(self._findings, sentinels)
        self._operations = Operations(self._findings)
        self._features = FeatureChecks(self._findings, self._operations)
        self._recordings = RecordingChecks(self._findings)
        self._conversations = ConversationChecks(self._findings)
        self._sessions: dict[str, SessionAudit] = {}
        self._talking: dict[str, int] = {}
        self._sealed: tuple[str, int] | None = None
        self._visible = False

    @property
    def session_ids(self) -> list[str]:
        """The realtime sessions of the run."""
        return sorted(self._sessions.keys() | self._talking.keys())

    def add(self, envelope: Envelope) -> None:
        """Audit the next record."""
        self._records += 1
        self._findings.at(envelope.run_id, envelope.seq, envelope.op_id)
        self._envelopes.check(envelope)
        data = self._payloads.check(envelope)
        kind = envelope.kind
        if self._sealed is not None and kind not in AFTER_SEAL:
            code = Code.SEALED_TWICE if kind in SEALS else Code.AFTER_SEAL
            self._findings.add(code, f"The run had ended with {self._sealed[0]} (seq {self._sealed[1]}).")
            return
        if data is None:
            return
        if kind in SEALS:
            self._seal(kind, envelope.seq)
            return
        self._visible = self._visible or kind in VISIBLE
        self._follow(envelope, data)

    def _follow(self, envelope: Envelope, data: Data) -> None:
        step = self._operations.take(envelope, data)
        if not step.sound:
            return
        self._features.take(envelope, data, step)
        self._recordings.take(envelope, data)
        self._conversations.take(envelope, data)
        kind, session_id = envelope.kind, envelope.session_id
        if kind in PHASES:
            if session_id is None:
                self._findings.add(Code.IMPOSSIBLE_PHASE, f"{kind} belongs to no session.")
                return
            session = self._sessions.get(session_id)
            if session is None:
                session = SessionAudit(session_id, self._findings, self._operations)
                self._sessions[session_id] = session
            session.take(envelope, data, step)
        elif kind == "session_started" and session_id is not None:
            self._talking.setdefault(session_id, envelope.seq)
        elif kind == "session_ended" and session_id is not None:
            self._talking[session_id] = 0

    def _seal(self, kind: str, seq: int) -> None:
        """Nothing may be open when a run gets its last record."""
        self._sealed = kind, seq
        early = Code.SEALED_EARLY
        for op_id, opened in self._operations.open.items():
            self._findings.add(early, f"{opened.kind} (seq {opened.seq}) has no outcome.", op_id=op_id)
        for op_id, doubt in self._operations.doubts.items():
            if doubt.kind.startswith("realtime_"):  # a delivery in doubt is in somebody's hands
                self._findings.add(early, f"{doubt.kind} (seq {doubt.seq}) is not settled.", op_id=op_id)
        for session_id, session in self._sessions.items():
            if session.is_live:
                where = f"{session.phase} since record {session.moved_seq}"
                self._findings.add(early, f"Session {shown(session_id)} is {where}.")
        for session_id, started_seq in self._talking.items():
            if started_seq:
                self._findings.add(
                    early, f"Session {shown(session_id)} began with record {started_seq} and has not ended."
                )
        if kind == "run_completed" and not self._visible:
            self._findings.add(Code.NOTHING_VISIBLE, "No record before it shows anything to be seen.")

    def corrupt(self, error: JournalCorrupt) -> None:
        """The journal could not read on: `error` says where its bytes contradict their chain."""
        self._findings.at(error.run_id, error.seq, None)
        self._findings.add(Code.CHAIN_BROKEN, "The stored record and the chain contradict each other.")

    def report(self) -> Report:
        """What was found so far."""
        return Report(
            runs=1,
            records=self._records,
            open_operations=0 if self._sealed else len(self._operations.open),
            findings=list(self._findings.found),
            left_out=self._findings.left_out,
        )


def audit(envelopes: Iterable[Envelope], *, sentinels: Sequence[bytes] = ()) -> Report:
    """Audit the records of one run, in order from the first."""
    auditor = Auditor(sentinels)
    for envelope in envelopes:
        auditor.add(envelope)
    return auditor.report()


async def audit_journal(
    journal: StoreJournal,
    *,
    run_ids: Sequence[str] | None = None,
    sentinels: Sequence[bytes] = (),
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Audit some runs of a journal, or all of them in the order of their names. Writes nothing.

    Args:
        progress: Called with the number of records audited so far, after each page.

    Raises:
        JournalUnavailable: the journal could not be read.
        UnknownVersion: a newer version wrote it.
    """
    reports: list[Report] = []
    owners: dict[str, str] = {}
    done = 0
    for run_id in sorted(await journal.run_ids() if run_ids is None else run_ids):
        auditor, after = Auditor(sentinels), 0
        try:
            while page := await journal.read(run_id, after=after, limit=_PAGE_RECORDS):
                for envelope in page:
                    auditor.add(envelope)
                after = page[-1].seq
                if progress is not None:
                    progress(done + after)
        except JournalCorrupt as error:
            auditor.corrupt(error)
        done += after
        reports.append(_with_strangers(auditor, run_id, owners))
    return Report(
        runs=len(reports),
        records=sum(report.records for report in reports),
        open_operations=sum(report.open_operations for report in reports),
        findings=[finding for report in reports for finding in report.findings],
        left_out=sum(report.left_out for report in reports),
    )


def _with_strangers(auditor: Auditor, run_id: str, owners: dict[str, str]) -> Report:
    """The run's report, with the sessions that another run has as well."""
    report = auditor.report()
    for session_id in auditor.session_ids:
        owner = owners.setdefault(session_id, run_id)
        if owner != run_id:
            report.findings.append(
                Finding(
                    code=Code.SESSION_ID_REPEATED,
                    run_id=shown(run_id),
                    seq=0,
                    op_id=None,
                    problem=f"Run {shown(owner)} has a session {shown(session_id)} as well.",
                )
            )
    return report
