"""What an adapter and the runtime promise each other, checked on a rig after every step and at the end."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from agentfield_journal import JournalError
from agentfield_rt.audit import audit
from agentfield_rt.core import records
from agentfield_rt.core.evolve import evolve, replay
from agentfield_rt.core.lifecycle import CLOSES, OPENS, TERMINAL, Outcome, Phase
from agentfield_rt.core.records import RECORD_TYPES, Record
from agentfield_rt.core.state import State
from agentfield_rt.errors import IllegalCommand, ProviderError
from agentfield_rt.frames import Media, OutputAudio, ResponseEnded, ResponseStarted
from agentfield_rt.run import realtime_records
from agentfield_rt.testing.held_calls import Acts, Call
from agentfield_rt.testing.session_rig import REFUSALS, RUN_ID, SESSION_ID, Request, RuleBroken, SessionRig

DEADLINE_MAX_S = 20.0
_DRAIN_DEMAND = 64


class SessionStage(SessionRig):
    """A rig on which every rule is held: `check` after each step, `finish` at the end."""

    _audited: State
    _audited_records = 0
    _records_before_emergency = 0

    def check(self) -> None:
        """The rules that hold after every step.

        Raises:
            RuleBroken: saying which one does not.
        """
        self._check_told()
        self._audit()
        state = self.controller.state
        self.require(self._audited == state, "the journal tells another story than the session")
        for request in self.requests:
            if request.task.done() and not request.checked:
                request.checked = True
                self._check_request(request)
        self._check_effects()
        self._check_events()

    def finish(self) -> None:
        """Bring everything to rest, close, and check what must hold then."""
        self._let_everything_settle()
        self._check_at_rest()
        for op_id in list(self.controller.state.unknown):
            self.reconcile(op_id)
        self._let_everything_settle()
        self._check_nothing_lost()
        if self.controller.state.phase is not Phase.IDLE:
            for _ in range(len(self.holds) + 2):  # what was told to refuse may be asked again
                self.close()
                self._let_everything_settle()
            self._check_ended()
        self.check()
        self._check_stored()

    # After every step.

    def _check_told(self) -> None:
        told = [*self.violations, *self.held.complaints]
        self.require(not told, "; ".join(told))

    def _audit(self) -> None:
        """Read on in the journal, as an auditor would."""
        if not self._audited_records:
            self._audited = State(session_id=SESSION_ID)
        harmless = records.OutputReceiveRequested | records.CloseRequested
        for record in self.watch.appended[self._audited_records :]:
            acts_again = type(record) in OPENS and not isinstance(record, harmless)
            self.require(not (acts_again and self._audited.needs_repair), "a command went past a doubt")
            before, self._audited = self._audited, evolve(self._audited, record)
            self.require(
                self._audited.send_cursor >= before.send_cursor
                and self._audited.receive_cursor >= before.receive_cursor,
                "a cursor went back",
            )
            self._audited_records += 1
            self._check_truth(record)

    def _check_truth(self, record: Record) -> None:
        """The journal claims of a frame only what the provider can confirm."""
        if self.line.got is None or type(record) not in CLOSES:
            return
        frame_id = self._frame_of(getattr(record, "op_id", ""))
        if frame_id is None:
            return  # no send, or a window: its tally counts, it names no frame
        arrived = frame_id in self.line.got()
        outcome = CLOSES[type(record)][1]
        self.require(arrived or outcome is not Outcome.DONE, f"{frame_id} counts as sent and never arrived")
        self.require(
            not arrived or outcome is not Outcome.NOT_DONE, f"{frame_id} arrived and counts as not sent"
        )

    def _frame_of(self, op_id: str) -> str | None:
        for record in self.watch.appended:
            if isinstance(record, records.InputSendRequested) and record.op_id == op_id:
                return record.frame_id
        return None

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
        story = [record for record in self.watch.appended if getattr(record, "frame_id", None) == frame_id]
        if isinstance(error, REFUSALS):
            self.require(not story, "a refused frame is in the journal")
        op_ids = {record.op_id for record in story if isinstance(record, records.InputSendRequested)}
        if not op_ids:
            return  # it flowed in a window, or waits behind the gate
        ends = [
            CLOSES[type(record)][1]
            for record in self.watch.appended
            if type(record) in CLOSES and getattr(record, "op_id", None) in op_ids
        ]
        if isinstance(error, ProviderError):
            told = Outcome.NOT_DONE if error.not_done else Outcome.UNKNOWN
            # A session that gives up may doubt what was certainly not done; the reverse would be a lie.
            possible = ([told], [Outcome.UNKNOWN])
            self.require(ends in possible, f"the sender was told {told}, the journal says {ends}")
        elif result is True:
            self.require(ends == [Outcome.DONE], f"the sender was told it was sent, the journal says {ends}")

    def _check_effects(self) -> None:
        repeated = self.held.effects.repeated()
        self.require(not [key for key in repeated if key[0] == "send"], f"asked twice: {repeated}")
        sent = [call.subject for call in self.held.calls if call.method == "send"]
        self.require(self._in_order(sent), "frames overtook each other")
        if self.line.got is not None:
            arrived = list(self.line.got())
            self.require(len(set(arrived)) == len(arrived), "a frame arrived twice")
            self.require(self._in_order(arrived), "frames overtook each other on the way")
            claimed = [c.subject for c in self.held.calls if c.method == "send" and c.acts is Acts.YES]
            missing = set(claimed) - set(arrived)
            self.require(not missing, f"the adapter says it sent {missing}, and nothing arrived")

    def _in_order(self, frame_ids: Sequence[str]) -> bool:
        """Audio keeps its order, and so does everything else; between the two there is none to keep."""
        for of_audio in (True, False):
            asked = [frame_id for frame_id, media in self.asked.items() if (media is Media.AUDIO) is of_audio]
            if not _is_subsequence([frame_id for frame_id in frame_ids if frame_id in asked], asked):
                return False
        return True

    def _check_events(self) -> None:
        mine = [event for event in self.delivered if event in self.said]
        self.require(_is_subsequence(mine, self.said), "events were repeated or came out of order")
        invented = [e for e in self.delivered if isinstance(e, OutputAudio) and e not in self.said]
        self.require(not invented, "audio was received that nobody said")
        for kind in (ResponseStarted, ResponseEnded):
            times = Counter(event.response_id for event in self.delivered if isinstance(event, kind))
            twice = {response_id for response_id, number in times.items() if number > 1}
            self.require(not twice, f"{kind.__name__} of {twice} came more than once")

    # At the end.

    def _let_everything_settle(self) -> None:
        self.faults.clear()
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
        if self.journal_broke:
            self.reconcile("nothing")  # refused, but first the journal gets what it could not take
        left = {operation.name.value for operation in self.controller.state.open_operations.values()}
        self.require(left <= {*waiting, "receive", "send"}, f"{left} are open and no call is under way")

    def _check_nothing_lost(self) -> None:
        """What the provider said on this connection is received, however often a receive was cancelled."""
        state = self.controller.state
        if state.phase is not Phase.OPEN or state.needs_repair or self.journal_broke:
            return
        self.require(not state.gated, "frames wait behind an open gate and nobody releases them")
        self.held.forget_holds()
        for request in self.running:  # one whose answer was lost would wait for ever
            self.cancel(request)
        self.settle()
        # What an earlier connection said may wait in front of it, so all that was ever said is the bound.
        for _ in range(len(self.said) + len(self.holds) + 2):
            if self.running:
                break
            self.receive(_DRAIN_DEMAND)
            self.settle()
            self.pass_time(DEADLINE_MAX_S)
        self.check()
        if self.controller.state.phase is Phase.OPEN:
            lost = [event for event in self.said_here if event not in self.delivered]
            self.require(not lost, f"the provider said {[n.name for n in lost]} and nobody received it")

    def _check_ended(self) -> None:
        state = self.controller.state
        self.require(state.phase in TERMINAL, f"after the close the session is {state.phase}")
        self.require(not self.running, f"{[request.what for request in self.running]} outlive the session")
        self.require(not state.open_operations, "operations outlive the session")
        self.require(not state.gated, "frames wait for a session that is over")
        self._check_fates()
        self._check_emergency()
        before = len(self.watch.appended), len(self.held.calls)
        late = [self.close(), self.connect(), self.send(), self.receive(), self.restart()]
        self.settle()
        self.require(late[0].task.exception() is None, "a second close fails")
        for request in late[1:]:
            refused = isinstance(request.task.exception(), IllegalCommand)
            self.require(refused, f"{request.what} after the end is not refused")
        after = len(self.watch.appended), len(self.held.calls)
        self.require(before == after, "use after the end left records or calls")

    def _check_fates(self) -> None:
        appended = self.watch.appended
        came = Counter(r.frame_id for r in appended if isinstance(r, records.BackpressureApplied))
        left = Counter(
            r.frame_id for r in appended if isinstance(r, records.BackpressureReleased | records.InputDropped)
        )
        self.require(left == came, "gated frames were lost or left twice")
        opened = Counter(_op_id(record) for record in appended if type(record) in OPENS)
        closed = Counter(_op_id(record) for record in appended if type(record) in CLOSES)
        self.require(closed == opened, "an operation has not exactly one outcome")

    def _require_intent(self, call: Call) -> None:
        told_before = self.emergency
        super()._require_intent(call)
        if self.emergency and not told_before:
            self._records_before_emergency = len(self.watch.appended)

    def _check_emergency(self) -> None:
        """What was done without an intent is told by the first batch that the journal takes again."""
        appended = self.watch.appended
        told = [n for n, record in enumerate(appended) if isinstance(record, records.EmergencyClosed)]
        self.require(len(told) <= self.journal_broke, "an emergency was recorded that was none")
        if not self.emergency:
            return
        self.require(len(told) == 1, "an emergency close was not recorded")
        since = appended[self._records_before_emergency : told[0]]
        begun = [record.kind for record in since if type(record) in OPENS]
        self.require(not begun, f"{begun} came between an emergency close and its record")

    def _check_stored(self) -> None:
        envelopes = self._do(self.journal.read(RUN_ID))
        findings = audit(envelopes).findings
        self.require(not findings, f"the auditor finds: {[finding.problem for finding in findings]}")
        stored = replay(SESSION_ID, realtime_records(envelopes, SESSION_ID))
        self.require(stored == self.controller.state, "the stored journal tells another story")
        openers = {e.op_id: e.record_id for e in envelopes if RECORD_TYPES[e.kind] in OPENS}
        for envelope in envelopes:
            if RECORD_TYPES[envelope.kind] in CLOSES:
                links = envelope.request_record_id == openers[envelope.op_id]
                self.require(links, f"{envelope.kind} does not name its opener")


def _op_id(record: Any) -> str:
    return str(record.op_id)


def _is_subsequence(part: Sequence[object], whole: Sequence[object]) -> bool:
    rest = iter(whole)
    return all(any(event == candidate for candidate in rest) for event in part)
