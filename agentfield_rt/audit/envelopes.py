"""Order, identity and chain of one run's records: what can be seen without opening a payload."""

import re
from bisect import bisect_right
from hashlib import sha256

from agentfield_journal import Envelope
from agentfield_rt.audit.report import Code, Findings, shown

FOREIGN_IDS_MAX = 1_000_000
"""Record ids of another make that are remembered: 8 bytes each, and what a set needs for them."""


_COUNT = re.compile("[1-9][0-9]{0,17}")


class SeenIds:
    """Which record ids there were. The runtime's own count up, so only their gaps are kept."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        self._skipped: dict[int, list[tuple[int, int]]] = {}
        self._foreign: set[int] = set()

    def repeats(self, record_id: str, epoch: int) -> bool:
        """Whether this id was there before; from now on it was."""
        writer, _, digits = record_id.partition(".")
        if writer != str(epoch) or not _COUNT.fullmatch(digits):
            return self._repeats_foreign(record_id)
        number, last = int(digits), self._last.get(epoch, 0)
        if number <= last:
            return not self._take_skipped(epoch, number)
        if number > last + 1:
            self._skipped.setdefault(epoch, []).append((last + 1, number - 1))
        self._last[epoch] = number
        return False

    def _take_skipped(self, epoch: int, number: int) -> bool:
        gaps = self._skipped.get(epoch, [])
        index = bisect_right(gaps, number, key=lambda gap: gap[0]) - 1
        if index < 0 or gaps[index][1] < number:
            return False
        first, last = gaps[index]
        pieces = ((first, number - 1), (number + 1, last))
        gaps[index : index + 1] = [piece for piece in pieces if piece[0] <= piece[1]]
        return True

    def _repeats_foreign(self, record_id: str) -> bool:
        mark = int.from_bytes(sha256(record_id.encode(errors="surrogatepass")).digest()[:8], "big")
        if mark in self._foreign:
            return True
        if len(self._foreign) < FOREIGN_IDS_MAX:
            self._foreign.add(mark)
        return False


class EnvelopeChecks:
    """Invariants 1, 2, 5, 8 and 9."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._ids = SeenIds()
        self._run_id: str | None = None
        self._hash = b""
        self._seq = 0
        self._epoch = 0
        self._fingerprint: str | None = None

    def check(self, envelope: Envelope) -> None:
        add = self._findings.add
        if envelope.run_id != self._run_id:
            self._begin(envelope)
        if envelope.seq != self._seq + 1:
            add(Code.SEQUENCE, f"Record {self._seq + 1} is expected here.")
        if envelope.prev_hash != self._hash:
            add(Code.CHAIN_BROKEN, "It does not follow the record before it: another hash is chained.")
        self._seq, self._hash = envelope.seq, envelope.hash
        if self._ids.repeats(envelope.record_id, envelope.epoch):
            add(Code.RECORD_ID_REPEATED, f"There was a record {shown(envelope.record_id)} before.")
        if envelope.epoch < self._epoch:
            add(Code.EPOCH_DECREASED, f"Epoch {envelope.epoch} writes after epoch {self._epoch}.")
        else:
            self._epoch = envelope.epoch
        if envelope.fingerprint is not None and envelope.fingerprint != self._fingerprint:
            if self._fingerprint is not None:
                add(Code.OTHER_CONFIGURATION, "It was written under another configuration than the run.")
            self._fingerprint = envelope.fingerprint

    def _begin(self, envelope: Envelope) -> None:
        if self._run_id is not None:
            self._findings.add(Code.OTHER_RUN, f"It belongs to run {shown(envelope.run_id)}.")
            return
        self._run_id = envelope.run_id
        self._hash = genesis(envelope.run_id)


def genesis(run_id: str) -> bytes:
    """The hash before a run's first record, after `journal/FORMAT.md`."""
    return sha256(b"agentfield-journal run\x00" + run_id.encode(errors="surrogatepass")).digest()
