"""The completion gate: may a run get its last record, and may those who wait for its end be told?

Both answers are read from the journal, so every reader in every process comes to the same one.
"""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import cast

import msgspec

from agentfield_journal import Cursor, Envelope, Journal, JournalUnavailable
from agentfield_rt.core.completion import (
    GATE_KINDS,
    SEALS,
    Completion,
    Condition,
    Fact,
    Unmet,
)
from agentfield_rt.errors import Reason, RunIncomplete

_PAGE_RECORDS = 2_000


class _Gated(msgspec.Struct):
    frame_id: str | None = None


class _Failure(msgspec.Struct):
    reason: Reason | None = None


_GATED = msgspec.msgpack.Decoder(_Gated)
_FAILURE = msgspec.msgpack.Decoder(_Failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """How a run ended: `outcome` is completed, failed or cancelled; `cursor` is its last record's."""

    run_id: str
    outcome: str
    reason: Reason | None
    cursor: Cursor


class RealtimeCompletionGate:
    """The reference's seven conditions of one run, derived from what was read of its journal.

    A journal shows durable records only, so what was read here is durable.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._completion = Completion()
        self._seal: Envelope | None = None
        self._replayable = False

    @property
    def seq(self) -> int:
        """The last record read."""
        return self._completion.seq

    @property
    def seal(self) -> Envelope | None:
        """The run's last record, once it was read."""
        return self._seal

    def read(self, envelope: Envelope) -> None:
        """Take the next record of the run, as the journal gave it.

        Raises:
            ReplayMismatch: the record cannot follow those before it.
        """
        kind = envelope.kind
        frame_id = _GATED.decode(envelope.payload).frame_id if kind in GATE_KINDS else None
        self._completion.add(Fact(envelope.seq, kind, envelope.op_id, envelope.session_id, frame_id))
        if kind in SEALS:
            self._seal = envelope

    async def catch_up(self, journal: Journal) -> None:
        """Read all that is durable by now."""
        while page := await journal.read(self.run_id, after=self.seq, limit=_PAGE_RECORDS):
            for envelope in page:
                self.read(envelope)

    async def replay_seal(self, journal: Journal) -> None:
        """See whether the run's last record can be read again at its cursor."""
        if self._seal is not None:
            found = await journal.read(self.run_id, after=self._seal.seq - 1, limit=1)
            self._replayable = [envelope.hash for envelope in found] == [self._seal.hash]

    @property
    def may_seal(self) -> bool:
        """The run may get its last record: nothing of any feature is open, and it has none yet."""
        return self._completion.may_seal

    @property
    def may_resolve(self) -> bool:
        """Whoever waits for the run may be told that it has ended."""
        return not self.unmet()

    def conditions(self) -> dict[Condition, bool]:
        """The seven conditions by name, in the reference's order."""
        unmet = {unmet.condition for unmet in self.unmet()}
        return {condition: condition not in unmet for condition in Condition}

    def unmet(self) -> tuple[Unmet, ...]:
        """The conditions that do not hold, each with the reason and the record it waits for."""
        completion, seal = self._completion, self._completion.seal
        found = {unmet.condition: unmet for unmet in completion.unfinished()}
        if not completion.output_seen:
            condition = Condition.FINAL_VISIBLE_OUTPUT_SEEN
            sentence = f"None of the {self.seq} records shows anything that somebody outside could see."
            found[condition] = Unmet(condition, sentence)
        if seal is None:
            found.setdefault(
                Condition.JOURNAL_TERMINAL, Unmet(Condition.JOURNAL_TERMINAL, "The run has no last record.")
            )
        if not self._replayable:
            condition = Condition.TERMINAL_EVENT_REPLAYABLE
            sentence = (
                "There is no last record to read again."
                if seal is None
                else f"{seal} was not read again at its cursor."
            )
            found[condition] = Unmet(condition, sentence, seal)
        return tuple(found[condition] for condition in Condition if condition in found)

    def require_may_seal(self, kind: str) -> None:
        """Refuse a last record of this kind that comes too early, twice, or promises too much.

        Raises:
            RunIncomplete: carries the conditions that do not hold.
        """
        unmet = self._completion.unfinished()
        if kind == "run_completed" and not self._completion.output_seen:
            sentence = "Nothing was ever said or answered in it; end it as failed or cancelled."
            unmet.append(Unmet(Condition.FINAL_VISIBLE_OUTPUT_SEEN, sentence))
        if (seal := self._completion.seal) is not None:
            unmet.append(Unmet(Condition.JOURNAL_TERMINAL, f"It has ended with {seal} already.", seal))
        if unmet:
            raise _incomplete(self.run_id, unmet)

    def end(self) -> RunEnd:
        """How the run ended.

        Raises:
            RunIncomplete: it has not, or what its last record says is not so.
        """
        seal = self._seal
        if (unmet := self.unmet()) or seal is None:
            raise _incomplete(self.run_id, unmet)
        reason = _FAILURE.decode(seal.payload).reason
        return RunEnd(run_id=self.run_id, outcome=SEALS[seal.kind], reason=reason, cursor=seal.cursor)


async def finished(journal: Journal, run_id: str) -> RunEnd:
    """Wait until the run has ended, whichever process writes it, and say how.

    Returns only when all seven conditions hold: the last record is durable and was read again at its cursor.
    Whoever stops waiting changes nothing for the run or for others who wait.

    Raises:
        RunIncomplete: the run has its last record although something in it is open.
        ReplayMismatch: its records contradict one another.
        JournalUnavailable: the journal was closed first.
    """
    gate = RealtimeCompletionGate(run_id)
    # `Journal` promises an iterator; the engine's is a generator, which forgets its tail when it is closed.
    tail = cast(AsyncGenerator[Envelope, None], journal.subscribe(run_id))
    async with contextlib.aclosing(tail) as envelopes:
        async for envelope in envelopes:
            gate.read(envelope)
            if gate.seal is not None:
                await gate.catch_up(journal)
                await gate.replay_seal(journal)
                return gate.end()
    raise JournalUnavailable(f"the journal was closed before run {run_id} had ended")


def _incomplete(run_id: str, unmet: list[Unmet] | tuple[Unmet, ...]) -> RunIncomplete:
    sentences = " ".join(condition.sentence for condition in unmet)
    names = tuple(condition.condition.value for condition in unmet)
    return RunIncomplete(f"run {run_id} is not complete: {sentences}", unmet=names)
