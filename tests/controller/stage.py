"""The promises of the controller, checked on a rig after every step and at the end."""

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from agentfield_journal import JournalError
from agentfield_rt.controller import EACH, Backoff, Windows
from agentfield_rt.core import records
from agentfield_rt.core.evolve import evolve, replay
from agentfield_rt.core.lifecycle import CLOSES, OPENS, TERMINAL, Outcome, Phase
from agentfield_rt.core.records import GatePolicy, Limits, Record, WindowTally
from agentfield_rt.core.records.realtime import DEFAULT_LIMITS
from agentfield_rt.core.state import State
from agentfield_rt.errors import IllegalCommand, ProviderError, Reason
from agentfield_rt.frames import InputFrame, Media
from agentfield_rt.run import realtime_records
from agentfield_rt.testing import RuleBroken
from tests.controller.rig import REFUSALS, SESSION_ID, Request, Rig

DEADLINE_MAX_S = 20.0
SMALL = Windows(frames_max=4, events_max=4, period_s=1.0)
"""Windows that roll all the time."""


@dataclass
class Stage(Rig):
    """A rig on which every rule is held."""

    _audited: State = field(default_factory=lambda: State(session_id=SESSION_ID))
    _audited_records: int = 0
    _frames: dict[str, str | None] = field(default_factory=dict[str, "str | None"])
    _told_of: int = 0
    _waiting: dict[str, Media] = field(default_factory=dict[str, Media])
    _gate_was_full: bool = False
    _restarts: int = 0

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
        for is_audio in (True, False):  # each kind keeps its order
            lane = [
                [frame for frame in frames if frame and _is_audio(frame) is is_audio]
                for frames in (sent, asked)
            ]
            self.require(_is_subsequence(*lane), "frames overtook each other")
        self.require(_is_subsequence(self.delivered, self.given), "events were repeated or out of order")
        if not self.journal_broke:
            told = sum(_was_sent(request) for request in self.requests)
            self.require(told <= self.controller.sent_total, "the send cursor misses what was sent")
            counted = self.controller.received_total
            self.require(self.delivered_total == counted, "the receive cursor is not what came")

    def _audit(self) -> None:
        """Read on in the journal, as an auditor would."""
        harmless = records.OutputReceiveRequested | records.CloseRequested
        for record in self.writer.appended[self._audited_records :]:
            repeats = type(record) in OPENS and not isinstance(record, harmless)
            self.require(not (repeats and self._audited.needs_repair), "a command went past a doubt")
            self._audited = evolve(self._audited, record)
            self._audited_records += 1
            self._check_truth(record)
            self._check_limits(record)

    def _check_limits(self, record: Record) -> None:
        """Counted here once more, so that a fold that counts wrongly is found."""
        limits, refuses = self.limits, self.limits.policy in (GatePolicy.GATE, GatePolicy.BLOCK)
        match record:
            case records.BackpressureApplied():
                self._waiting[record.frame_id] = record.media
                self.require(not (refuses and self._gate_was_full), "a full gate took a frame too early")
                self.require(limits.policy is not GatePolicy.FAIL_SEND, "a frame waits where none may")
                self.require(len(self._waiting) <= limits.high_water, "more frames wait than may")
            case records.BackpressureReleased():
                del self._waiting[record.frame_id]
            case records.InputDropped():
                was = self._waiting.pop(record.frame_id)
                makes_room = record.reason is Reason.OVERFLOW
                self.require(was is Media.AUDIO or not makes_room, "a text was dropped to make room")
            case records.RestartStarted():
                self._restarts += 1
                self.require(self._restarts <= limits.restarts_max, "the restart budget was overdrawn")
            case _:
                return
        waits = len(self._waiting)
        self._gate_was_full = waits >= limits.high_water or (self._gate_was_full and waits > limits.low_water)

    def _check_truth(self, record: Record) -> None:
        """The journal claims of a frame only what the provider can confirm."""
        match record:
            case records.InputSendRequested(op_id=op_id, frame_id=frame_id):
                self._frames[op_id] = frame_id
            case (
                records.InputSent(window=WindowTally() as window)
                | records.InputSendUnknown(window=WindowTally() as window)
                | records.InputSendFailed(window=WindowTally() as window)
            ):
                self._check_window(window)
            case records.InputSent(op_id=op_id):
                sent = {frame.frame_id for frame in self.scripted.sent}
                self.require(self._frames[op_id] in sent, "a frame counts as sent and never arrived")
            case records.InputSendFailed(op_id=op_id) if self._frames[op_id] is not None:
                arrived = {frame.frame_id for frame in self.scripted.sent} | self.adapter.unanswered
                self.require(self._frames[op_id] not in arrived, "a frame counts as not sent too soon")
            case _:
                pass

    def _check_window(self, window: WindowTally) -> None:
        """A window tells of frames that the provider took one after the other, by their digest."""
        taken = self.adapter.taken
        for start in range(self._told_of, len(taken) - window.frames + 1):
            flowed = b"".join(frame.pcm for frame in taken[start : start + window.frames])
            if sha256(flowed).digest() == window.digest:
                self.require(window.size_bytes == len(flowed), "a window tells of other bytes than flowed")
                self._told_of = start + window.frames
                return
        self.require(False, "a window tells of frames that did not flow")

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
        if request.frame is None or isinstance(error, JournalError):
            return
        if _is_audio(request.frame) and self.windows.frames_max > 1:
            self._check_flow(request.frame.frame_id, error, None if error else task.result())
        else:
            self._check_send(request.frame.frame_id, error, None if error else task.result())

    def _check_flow(self, frame_id: str, error: BaseException | None, result: bool | None) -> None:
        """What the sender of audio was told is what the provider says."""
        arrived = frame_id in {frame.frame_id for frame in self.scripted.sent}
        gated = any(getattr(record, "frame_id", None) == frame_id for record in self.writer.appended)
        certain = isinstance(error, REFUSALS) or (isinstance(error, ProviderError) and error.not_done)
        if certain:
            self.require(not arrived, "a frame arrived of which the sender was told that it did not")
        if result is not None:
            self.require(arrived or gated, "a frame counts as sent and never arrived")
            self.require(result is not gated, "a frame that waited counts as sent at once, or the reverse")

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
        for _ in range(len(self.controller.state.gated) + 1):  # each that is released may be in doubt
            for op_id in list(self.controller.state.unknown):
                self.reconcile(op_id)
            self._let_everything_settle()
            if not self.controller.state.unknown:
                break
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
        patient = {"receive", "send"} if self.limits.policy is GatePolicy.BLOCK else {"receive"}
        self.require(waiting <= patient, f"{waiting} outlive every deadline")
        for hold in self.undecided:
            self.decide(hold, "release")
        self.settle()
        self.pass_time(2 * self.windows.period_s + 1)  # what flowed is recorded, and an idle window closed
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
        if not self.journal_broke:
            self.require(
                self.delivered_total == self.controller.state.receive_cursor, "events were not recorded"
            )
        self.require(self.adapter.emergencies <= 1, "the adapter was hung up on twice in an emergency")
        told = [record for record in self.writer.appended if isinstance(record, records.EmergencyClosed)]
        # What was given up while an emergency was under way stays given up.
        recorded = len(told) == 1 or state.phase is Phase.FAILED
        self.require(self.adapter.emergencies == 0 or recorded, "an emergency close was not recorded")
        self.require(len(told) <= self.journal_broke, "an emergency was recorded that was none")
        before = len(self.writer.appended), len(self.scripted.calls)
        late = [
            self.close(),
            self.connect(),
            self.send(),
            self.receive(),
            self.restart(),
            self.interrupt("r"),
            self.refer(),
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
        released = [r.frame_id for r in appended if isinstance(r, records.BackpressureReleased)]
        dropped = [r.frame_id for r in appended if isinstance(r, records.InputDropped)]
        self.require(sorted(released + dropped) == sorted(came), "gated frames have not one fate each")
        self.require(_is_subsequence(released, came), "gated frames left out of turn")
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


@contextmanager
def performance(
    windows: Windows = EACH, limits: Limits = DEFAULT_LIMITS, backoff: Backoff | None = None
) -> Generator[Stage]:
    """A stage whose controller is connected; at the end everything is brought to rest and checked."""
    stage = Stage(windows=windows, limits=limits, backoff=backoff or Backoff(jitter=lambda: 1.0))
    stage.connect()
    stage.settle()
    try:
        yield stage
        stage.finish()
    finally:
        stage.dispose()


def kinds(stage: Stage) -> list[str]:
    """The journal so far, without what all kinds have in common."""
    return [record.kind.removeprefix("realtime_") for record in stage.writer.appended]


def methods(stage: Stage) -> list[str]:
    """What the adapter was asked so far."""
    return [call.method for call in stage.scripted.calls]


def error_of(request: Request) -> BaseException | None:
    """How a call ended; it must have."""
    assert request.task.done(), f"{request.what} still waits"
    return request.task.exception()


def _op_id(record: Any) -> str:
    return str(record.op_id)


def _was_sent(request: Request) -> bool:
    """Whether its sender was told that the frame was sent, at once."""
    task = request.task
    return (
        request.frame is not None
        and task.done()
        and not task.cancelled()
        and not task.exception()
        and task.result()
    )


def _is_audio(frame: InputFrame) -> bool:
    return frame.media is Media.AUDIO


def _is_subsequence(part: Sequence[object], whole: Sequence[object]) -> bool:
    rest = iter(whole)
    return all(any(event == candidate for candidate in rest) for event in part)
