"""The promises of the controller, checked on a rig after every step and at the end."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agentfield_journal import JournalError
from agentfield_rt.core import records
from agentfield_rt.core.evolve import evolve, replay
from agentfield_rt.core.lifecycle import CLOSES, OPENS, TERMINAL, Outcome, Phase
from agentfield_rt.core.records import Record
from agentfield_rt.core.state import State
from agentfield_rt.errors import (
    IllegalCommand,
    ProviderError,
)
from agentfield_rt.run import realtime_records
from tests.controller.rig import REFUSALS, SESSION_ID, Request, Rig, RuleBroken

DEADLINE_MAX_S = 20.0


@dataclass
class Stage(Rig):
    """A rig on which every rule is held."""

    _audited: State = field(default_factory=lambda: State(session_id=SESSION_ID))
    _audited_records: int = 0
    _frames: dict[str, str] = field(default_factory=dict[str, str])

    # What must hold.

    def check(self) -> None:
        """The rules that hold after every step."""
        self.require(not self.adapter.violations, "; ".join(self.adapter.violations))
        self.require(not self.complaints, "; ".join(self.complaints))
        state = self.controller.state
        self._audit()
        self.require(self._audited == state, "the journal tells another story")
        for request in self.requests:
            if request.task.done() and not request.checked:
                request.checked = True
                self._check_request(request)
        sent = self.scripted.sent
        asked = [request.frame for request in self.requests if request.what == "send"]
        self.require(len({frame.frame_id for frame in sent}) == len(sent), "a frame was sent twice")
        self.require(_is_subsequence(sent, asked), "frames overtook each other")
        self.require(_is_subsequence(self.delivered, self.given), "events were repeated or out of order")
        if not self.journal_broke:
            self.require(self.delivered_total == state.receive_cursor, "the receive cursor is not what came")

    def _audit(self) -> None:
        """Read on in the journal, as an auditor would."""
        harmless = records.OutputReceiveRequested | records.CloseRequested
        for record in self.writer.appended[self._audited_records :]:
            repeats = type(record) in OPENS and not isinstance(record, harmless)
            self.require(not (repeats and self._audited.needs_repair), "a command went past a doubt")
            self._audited = evolve(self._audited, record)
            self._audited_records += 1
            self._check_truth(record)

    def _check_truth(self, record: Record) -> None:
        """The journal claims of a frame only what the provider can confirm."""
        match record:
            case records.InputSendRequested(op_id=op_id, frame_id=frame_id):
                self._frames[op_id] = frame_id
            case records.InputSent(op_id=op_id):
                sent = {frame.frame_id for frame in self.scripted.sent}
                self.require(self._frames[op_id] in sent, "a frame counts as sent and never arrived")
            case records.InputSendFailed(op_id=op_id):
                arrived = {frame.frame_id for frame in self.scripted.sent} | self.adapter.unanswered
                self.require(self._frames[op_id] not in arrived, "a frame counts as not sent too soon")
            case _:
                pass

    def _check_request(self, request: Request) -> None:
        task = request.task
        if task.cancelled():
            self.require(request.cancelled, f"{request.what} was cancelled by nobody")
            return
        error = task.exception()
        if isinstance(error, RuleBroken):
            raise error
        expected = (*REFUSALS, ProviderError, *((JournalError,) if self.journal_broke else ()))
        if error is not None and not isinstance(error, expected):
            raise RuleBroken(f"{request.what} raised {error!r}") from error
        if request.frame is not None and not isinstance(error, JournalError):
            self._check_send(request.frame.frame_id, error, None if error else task.result())

    def _check_send(self, frame_id: str, error: BaseException | None, result: bool | None) -> None:
        """What the sender was told is what the journal says."""
        story = [record for record in self.writer.appended if getattr(record, "frame_id", None) == frame_id]
        op_ids = {r.op_id for r in story if isinstance(r, records.InputSendRequested)}
        ends = [
            CLOSES[type(record)][1]
            for record in self.writer.appended
            if type(record) in CLOSES and getattr(record, "op_id", None) in op_ids
        ]
        if isinstance(error, REFUSALS):
            self.require(not story, "a refused frame is in the journal")
        elif isinstance(error, ProviderError):
            told = Outcome.NOT_DONE if error.not_done else Outcome.UNKNOWN
            # A session that gives up may doubt what was certainly not done; the reverse would be a lie.
            possible = ([told], [Outcome.UNKNOWN])
            self.require(ends in possible, f"the sender was told {told}, the journal says {ends}")
        elif result is True:
            self.require(
                ends == [Outcome.DONE], f"the sender was told that it was sent, the journal says {ends}"
            )
        elif result is False:
            self.require(
                isinstance(story[0], records.BackpressureApplied), "a frame that waits is not behind the gate"
            )

    # How a performance ends.

    def finish(self) -> None:
        """Bring everything to rest, close, and check what must hold then."""
        self._let_everything_settle()
        self._check_at_rest()
        for op_id in list(self.controller.state.unknown):
            self.reconcile(op_id)
        self._let_everything_settle()
        state = self.controller.state
        if state.phase is Phase.OPEN and not self.journal_broke:
            self.require(not state.gated, "frames wait behind an open gate and nobody releases them")
        if state.phase is not Phase.IDLE:
            for _ in range(len(self.holds) + 2):  # what was told to refuse or to break may be asked again
                self.close()
                self._let_everything_settle()
            self._check_ended()
        self.check()
        self._check_stored()

    def _let_everything_settle(self) -> None:
        self.writer.unstick()
        self.writer.append_faults.clear()
        self.writer.durable_faults.clear()
        self.settle()
        self.pass_time(DEADLINE_MAX_S * (len(self.running) + 1))
        self.settle()
        waiting = {request.what for request in self.running}
        self.require(waiting <= {"receive"}, f"{waiting} outlive every deadline")
        for hold in self.undecided:
            self.decide(hold, "release")
        self.settle()
        self.check()

    def _check_at_rest(self) -> None:
        waiting = {request.what for request in self.running}
        state = self.controller.state
        if self.journal_broke:
            self.reconcile("nothing")  # refused, but first the journal gets what it could not take
            state = self.controller.state
        left = {operation.name.value for operation in state.open_operations.values()}
        self.require(left <= waiting, f"{left - waiting} have no outcome and no call is under way")

    def _check_ended(self) -> None:
        state = self.controller.state
        self.require(state.phase in TERMINAL, f"after the close the session is {state.phase}")
        self.require(not self.running, f"{[request.what for request in self.running]} outlive the session")
        self.require(not state.open_operations, "operations outlive the session")
        self.require(not state.gated, "frames wait for a session that is over")
        self._check_fates()
        before = len(self.writer.appended), len(self.scripted.calls)
        late = [
            self.close(),
            self.connect(),
            self.send(),
            self.receive(),
            self.restart(),
            self.interrupt("r"),
        ]
        self.settle()
        self.require(late[0].task.exception() is None, "a second close fails")
        for request in late[1:]:
            refused = isinstance(request.task.exception(), IllegalCommand)
            self.require(refused, f"{request.what} after the end is not refused")
        after = len(self.writer.appended), len(self.scripted.calls)
        self.require(before == after, "use after the end left records or calls")

    def _check_fates(self) -> None:
        appended = self.writer.appended
        came = [r.frame_id for r in appended if isinstance(r, records.BackpressureApplied)]
        left = [
            r.frame_id for r in appended if isinstance(r, records.BackpressureReleased | records.InputDropped)
        ]
        self.require(left == came, "gated frames were lost or left out of turn")
        opened = Counter(_op_id(record) for record in appended if type(record) in OPENS)
        closed = Counter(_op_id(record) for record in appended if type(record) in CLOSES)
        self.require(closed == opened, "an operation has not exactly one outcome")

    def _check_stored(self) -> None:
        envelopes = self.run(self.journal.read("run_stage"))
        stored = replay(self.session_id, realtime_records(envelopes, self.session_id))
        self.require(stored == self.controller.state, "the stored journal tells another story")
        openers = {e.op_id: e.record_id for e in envelopes if records.RECORD_TYPES[e.kind] in OPENS}
        for envelope in envelopes:
            if records.RECORD_TYPES[envelope.kind] in CLOSES:
                links = envelope.request_record_id == openers[envelope.op_id]
                self.require(links, f"{envelope.kind} does not name its opener")


def _op_id(record: Any) -> str:
    return str(record.op_id)


def _is_subsequence(part: Sequence[object], whole: Sequence[object]) -> bool:
    rest = iter(whole)
    return all(any(event == candidate for candidate in rest) for event in part)
