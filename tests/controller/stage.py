"""One controller on a stage: a test overlaps calls, holds every answer, and the rules are checked."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from agentfield_adapters.scripted import Hold, Method, ScriptedAdapter, silent
from agentfield_journal import JournalError, JournalFull, JournalUnavailable, StoreJournal
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core import records
from agentfield_rt.core.evolve import evolve, replay
from agentfield_rt.core.lifecycle import CLOSES, OPENS, TERMINAL, Outcome, Phase
from agentfield_rt.core.records import Decision, Record
from agentfield_rt.core.state import State
from agentfield_rt.errors import (
    ConnectionLost,
    GateOverflow,
    IllegalCommand,
    ProviderError,
    Reason,
    RepairNeeded,
)
from agentfield_rt.frames import (
    AudioFrame,
    InputFrame,
    Media,
    Notice,
    OutputAudio,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    TextFrame,
)
from agentfield_rt.run import Run, realtime_records
from tests.controller.watch import WatchedAdapter, WatchedWriter
from tests.virtual_time import VirtualTimeLoop

REFUSALS = (IllegalCommand, RepairNeeded, GateOverflow)
DEADLINE_MAX_S = 20.0


class RuleBroken(AssertionError):
    """The controller broke one of its promises."""


@dataclass(eq=False)
class Request:
    """One call of the controller that a test made."""

    what: str
    task: asyncio.Task[Any]
    frame: InputFrame | None = None
    cancelled: bool = False
    checked: bool = False


@dataclass
class Stage:
    """A controller over a watched adapter and a watched journal, on a loop with virtual time."""

    loop: VirtualTimeLoop = field(default_factory=VirtualTimeLoop)
    session_id: str = "sess_stage_1"
    requests: list[Request] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    given: list[ProviderEvent] = field(default_factory=list)
    delivered: list[ProviderEvent] = field(default_factory=list)
    delivered_total: int = 0
    numbers: "count[int]" = field(default_factory=lambda: count(1))
    journal_broke: bool = False
    _decided: list[Hold] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.complaints: list[str] = []
        self._audited = State(session_id=self.session_id)
        self._audited_records = 0
        self._frames: dict[str, str] = {}
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(str(context)))
        self.run(self._build())

    async def _build(self) -> None:
        self.journal = StoreJournal(MemoryStore())
        self.writer = WatchedWriter(await self.journal.open_run("run_stage"), self.session_id)
        self.scripted = ScriptedAdapter(answer=silent)
        self.adapter = WatchedAdapter(self.scripted, self.writer, lambda: self.controller.state)
        self.controller = RealtimeSessionController(
            self.adapter, Run(self.writer, clock=lambda: 0), session_id=self.session_id
        )

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def turn(self, times: int) -> None:
        """Let the loop run exactly so many iterations; timers do not move."""
        for _ in range(times):
            self.loop.stop()
            self.loop.run_forever()

    def settle(self) -> None:
        """Let everything happen that waits for nothing but its turn."""
        self.turn(60)

    def pass_time(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    # What a host does.

    def request(self, what: str, work: Coroutine[Any, Any, Any], frame: InputFrame | None = None) -> Request:
        request = Request(what, self.loop.create_task(work, name=what), frame)
        self.requests.append(request)
        return request

    def connect(self) -> Request:
        return self.request("connect", self.controller.connect())

    def send(self, media: Media = Media.AUDIO) -> Request:
        frame_id = f"frame-{next(self.numbers)}"
        frame = TextFrame(frame_id, "hello") if media is Media.TEXT else AudioFrame(frame_id, bytes(4))
        return self.request("send", self.controller.send(frame), frame)

    def receive(self, demand: int = 1) -> Request:
        return self.request("receive", self._receive(demand))

    async def _receive(self, demand: int) -> None:
        events = await self.controller.receive(demand=demand)
        self._require(len(events) <= demand, "more events than were asked for")
        for event in events:
            self._require(
                not self.adapter.was_stale(event), "output of an interrupted response was delivered"
            )
        self.delivered += [event for event in events if isinstance(event, OutputAudio)]
        self.delivered_total += len(events)

    def interrupt(self, response_id: str) -> Request:
        return self.request("interrupt", self.controller.interrupt(response_id, heard_ms=20))

    def restart(self) -> Request:
        return self.request("restart", self.controller.restart(Reason.CONNECTION_LOST))

    def close(self) -> Request:
        return self.request("close", self.controller.close())

    def fail(self) -> None:
        self._at_once(lambda: self.controller.fail(Reason.INTERNAL))

    def reconcile(self, op_id: str, decision: Decision = Decision.ABANDONED) -> None:
        self._at_once(lambda: self.controller.reconcile(op_id, decision))

    def _at_once(self, act: Callable[[], None]) -> None:
        """Do something synchronous that needs its loop, without letting the loop run."""
        asyncio._set_running_loop(self.loop)
        try:
            act()
        except (*REFUSALS, JournalError):
            return
        finally:
            asyncio._set_running_loop(None)

    def cancel(self, request: Request) -> None:
        request.cancelled = request.task.cancel() or request.cancelled

    @property
    def running(self) -> list[Request]:
        return [request for request in self.requests if not request.task.done()]

    # What the world does.

    def hold(self, method: Method) -> None:
        self.holds.append(self.scripted.hold(method))

    def give_response(self, *, pieces: int = 2, ends: bool = True) -> str:
        """The provider says something: a response with unmistakable pieces of audio."""
        response_id = f"resp-{next(self.numbers)}"
        self.give(ResponseStarted(response_id))
        self.give(*(self.audio(response_id) for _ in range(pieces)))
        if ends:
            self.give(ResponseEnded(response_id, ResponseStatus.COMPLETED))
        return response_id

    def audio(self, response_id: str) -> OutputAudio:
        return OutputAudio(response_id, f"item-{response_id}", next(self.numbers).to_bytes(8, "big"))

    def notice(self) -> Notice:
        return Notice(f"notice-{next(self.numbers)}")

    def give(self, *events: ProviderEvent) -> None:
        self.given += events
        self.scripted.give(*events)

    def break_append(self) -> None:
        self.journal_broke = True
        self.writer.append_faults.append(JournalFull("no room"))

    def break_durable(self) -> None:
        self.journal_broke = True
        self.writer.durable_faults.append(JournalUnavailable("the disk does not answer"))

    # What must hold.

    def check(self) -> None:
        """The rules that hold after every step."""
        self._require(not self.adapter.violations, "; ".join(self.adapter.violations))
        self._require(not self.complaints, "; ".join(self.complaints))
        state = self.controller.state
        self._audit()
        self._require(self._audited == state, "the journal tells another story")
        for request in self.requests:
            if request.task.done() and not request.checked:
                request.checked = True
                self._check_request(request)
        sent = self.scripted.sent
        asked = [request.frame for request in self.requests if request.what == "send"]
        self._require(len({frame.frame_id for frame in sent}) == len(sent), "a frame was sent twice")
        self._require(_is_subsequence(sent, asked), "frames overtook each other")
        self._require(_is_subsequence(self.delivered, self.given), "events were repeated or out of order")
        if not self.journal_broke:
            self._require(self.delivered_total == state.receive_cursor, "the receive cursor is not what came")

    def _audit(self) -> None:
        """Read on in the journal, as an auditor would."""
        harmless = records.OutputReceiveRequested | records.CloseRequested
        for record in self.writer.appended[self._audited_records :]:
            repeats = type(record) in OPENS and not isinstance(record, harmless)
            self._require(not (repeats and self._audited.needs_repair), "a command went past a doubt")
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
                self._require(self._frames[op_id] in sent, "a frame counts as sent and never arrived")
            case records.InputSendFailed(op_id=op_id):
                arrived = {frame.frame_id for frame in self.scripted.sent} | self.adapter.unanswered
                self._require(self._frames[op_id] not in arrived, "a frame counts as not sent too soon")
            case _:
                pass

    def _check_request(self, request: Request) -> None:
        task = request.task
        if task.cancelled():
            self._require(request.cancelled, f"{request.what} was cancelled by nobody")
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
            self._require(not story, "a refused frame is in the journal")
        elif isinstance(error, ProviderError):
            told = Outcome.NOT_DONE if error.not_done else Outcome.UNKNOWN
            # A session that gives up may doubt what was certainly not done; the reverse would be a lie.
            possible = ([told], [Outcome.UNKNOWN])
            self._require(ends in possible, f"the sender was told {told}, the journal says {ends}")
        elif result is True:
            self._require(
                ends == [Outcome.DONE], f"the sender was told that it was sent, the journal says {ends}"
            )
        elif result is False:
            self._require(
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
            self._require(not state.gated, "frames wait behind an open gate and nobody releases them")
        if state.phase is not Phase.IDLE:
            for _ in range(len(self.holds) + 2):  # what was told to refuse or to break may be asked again
                self.close()
                self._let_everything_settle()
            self._check_ended()
        self.check()
        self._check_stored()

    def dispose(self) -> None:
        """Give the loop back, whatever happened."""
        for request in self.requests:
            request.task.cancel()
        self.settle()
        self.run(self.journal.close())
        self.loop.close()

    def _let_everything_settle(self) -> None:
        self.writer.unstick()
        self.writer.append_faults.clear()
        self.writer.durable_faults.clear()
        self.settle()
        self.pass_time(DEADLINE_MAX_S * (len(self.running) + 1))
        self.settle()
        waiting = {request.what for request in self.running}
        self._require(waiting <= {"receive"}, f"{waiting} outlive every deadline")
        for hold in self.undecided:
            self.decide(hold, "release")
        self.settle()
        self.check()

    @property
    def undecided(self) -> list[Hold]:
        return [hold for hold in self.holds if hold not in self._decided]

    def decide(self, hold: Hold, verdict: str) -> None:
        """Let the provider answer a held call."""
        self._decided.append(hold)
        error = ProviderError("refused", reason=Reason.UNAVAILABLE)
        doubt = ProviderError("no answer", reason=Reason.TIMEOUT, not_done=False)

        match verdict:
            case "release":
                hold.release()
            case "refuse":
                hold.fail(error)
            case "doubt":
                hold.fail(doubt)
            case "lose":
                hold.lose()
            case _:
                hold.lose(acted=False)

    def drop(self) -> None:
        self.scripted.drop(ConnectionLost("dropped"))

    def _check_at_rest(self) -> None:
        waiting = {request.what for request in self.running}
        state = self.controller.state
        if self.journal_broke:
            self.reconcile("nothing")  # refused, but first the journal gets what it could not take
            state = self.controller.state
        left = {operation.name.value for operation in state.open_operations.values()}
        self._require(left <= waiting, f"{left - waiting} have no outcome and no call is under way")

    def _check_ended(self) -> None:
        state = self.controller.state
        self._require(state.phase in TERMINAL, f"after the close the session is {state.phase}")
        self._require(not self.running, f"{[request.what for request in self.running]} outlive the session")
        self._require(not state.open_operations, "operations outlive the session")
        self._require(not state.gated, "frames wait for a session that is over")
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
        self._require(late[0].task.exception() is None, "a second close fails")
        for request in late[1:]:
            refused = isinstance(request.task.exception(), IllegalCommand)
            self._require(refused, f"{request.what} after the end is not refused")
        after = len(self.writer.appended), len(self.scripted.calls)
        self._require(before == after, "use after the end left records or calls")

    def _check_fates(self) -> None:
        appended = self.writer.appended
        came = [r.frame_id for r in appended if isinstance(r, records.BackpressureApplied)]
        left = [
            r.frame_id for r in appended if isinstance(r, records.BackpressureReleased | records.InputDropped)
        ]
        self._require(left == came, "gated frames were lost or left out of turn")
        opened = Counter(_op_id(record) for record in appended if type(record) in OPENS)
        closed = Counter(_op_id(record) for record in appended if type(record) in CLOSES)
        self._require(closed == opened, "an operation has not exactly one outcome")

    def _check_stored(self) -> None:
        envelopes = self.run(self.journal.read("run_stage"))
        stored = replay(self.session_id, realtime_records(envelopes, self.session_id))
        self._require(stored == self.controller.state, "the stored journal tells another story")
        openers = {e.op_id: e.record_id for e in envelopes if records.RECORD_TYPES[e.kind] in OPENS}
        for envelope in envelopes:
            if records.RECORD_TYPES[envelope.kind] in CLOSES:
                links = envelope.request_record_id == openers[envelope.op_id]
                self._require(links, f"{envelope.kind} does not name its opener")

    def _require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise RuleBroken(otherwise)


def _op_id(record: Any) -> str:
    return str(record.op_id)


def _is_subsequence(part: Sequence[object], whole: Sequence[object]) -> bool:
    rest = iter(whole)
    return all(any(event == candidate for candidate in rest) for event in part)
