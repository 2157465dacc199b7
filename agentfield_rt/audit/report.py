"""What an audit found: stable codes, one sentence each, and where. Never quotes what a record holds."""

from enum import StrEnum

import msgspec

FINDINGS_MAX = 1_000
"""Findings listed of one run; the rest is counted."""

_SHOWN_CHARACTERS = 80


class Code(StrEnum):
    """What was found; it begins with the number of the invariant. Never renamed, never reused."""

    SEQUENCE = "01-sequence"
    RECORD_ID_REPEATED = "02-record-id-repeated"
    CHAIN_BROKEN = "05-chain-broken"
    UNKNOWN_KIND = "06-unknown-kind"
    BAD_PAYLOAD = "06-bad-payload"
    INDEX_DIFFERS = "07-index-differs"
    OTHER_RUN = "08-other-run"
    OTHER_CONFIGURATION = "08-other-configuration"
    EPOCH_DECREASED = "09-epoch-decreased"
    AFTER_SEAL = "11-after-seal"
    SEALED_TWICE = "11-sealed-twice"
    OPENED_TWICE = "15-opened-twice"
    CLOSED_TWICE = "15-closed-twice"
    OPENER_NOT_NAMED = "15-opener-not-named"
    NO_OPENER = "16-no-opener"
    NOTHING_IN_DOUBT = "16-nothing-in-doubt"
    WENT_PAST_DOUBT = "20-went-past-doubt"
    IMPOSSIBLE_PHASE = "24-impossible-phase"
    WRONG_CURSOR = "25-wrong-cursor"
    RESTARTED_TOO_OFTEN = "26-restarted-too-often"
    SENT_WHILE_RESTARTING = "27-sent-while-restarting"
    GATE_OVERFULL = "29-gate-overfull"
    GATE_ORDER = "30-gate-order"
    FRAME_WITHOUT_FATE = "30-frame-without-fate"
    RESTART_NOT_STARTED = "31-restart-not-started"
    CONNECTION_ID_REPEATED = "32-connection-id-repeated"
    SESSION_ID_REPEATED = "33-session-id-repeated"
    WRONG_RESPONSE = "34-wrong-response"
    CLOSE_REASON_DIFFERS = "35-close-reason-differs"
    SENTINEL_FOUND = "38-sentinel-found"
    REFS_DIFFER = "39-refs-differ"
    PRIVACY_TOO_LOW = "40-privacy-too-low"
    FREE_TEXT = "41-free-text"
    SEALED_EARLY = "42-sealed-early"
    NOTHING_VISIBLE = "43-nothing-visible"
    DELIVERED_TWICE = "45-delivered-twice"
    NOT_APPROVED = "46-not-approved"
    RECORDING_DIFFERS = "51-recording-differs"
    CONVERSATION_DIFFERS = "52-conversation-differs"

    @property
    def invariant(self) -> int:
        return int(self[:2])


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A record that breaks an invariant: which, where, and one sentence for a person."""

    code: Code
    run_id: str
    seq: int
    op_id: str | None
    problem: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was audited and what was found, in the order of the records.

    Attributes:
        open_operations: Operations without an outcome in runs that are not sealed: at work, or to recover.
        left_out: Findings beyond the first `FINDINGS_MAX` of a run.
    """

    runs: int
    records: int
    open_operations: int
    findings: list[Finding]
    left_out: int = 0

    @property
    def clean(self) -> bool:
        return not self.findings


class Findings:
    """The findings of one run."""

    def __init__(self) -> None:
        self.found: list[Finding] = []
        self.left_out = 0
        self._run_id = ""
        self._seq = 0
        self._op_id: str | None = None

    def at(self, run_id: str, seq: int, op_id: str | None) -> None:
        """What is found from here on is of this record."""
        self._run_id, self._seq, self._op_id = run_id, seq, op_id

    def add(self, code: Code, problem: str, *, seq: int | None = None, op_id: str | None = None) -> None:
        """Note a finding of the record at hand, or of the one at `seq`."""
        if len(self.found) >= FINDINGS_MAX:
            self.left_out += 1
            return
        op_id = op_id if op_id is not None else self._op_id
        self.found.append(
            Finding(
                code=code,
                run_id=shown(self._run_id),
                seq=self._seq if seq is None else seq,
                op_id=None if op_id is None else shown(op_id),
                problem=problem,
            )
        )


def shown(name: object) -> str:
    """An id as it may be printed; what is none is not quoted, for it may be anything."""
    text = name if isinstance(name, str) else ""
    if text and text.isprintable() and " " not in text and len(text) <= _SHOWN_CHARACTERS:
        return text
    return f"<{len(text)} characters>"
