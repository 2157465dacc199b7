"""One session in a rig: overlapping calls, an adapter whose answers are held, a journal that may fail.

It drives; what must hold is in `session_rules`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, Protocol

from agentfield_journal import JournalError
from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core.lifecycle import OPENS, OperationName
from agentfield_rt.core.records import Decision, Record
from agentfield_rt.errors import GateOverflow, IllegalCommand, Reason, RepairNeeded
from agentfield_rt.frames import (
    AudioFrame,
    InputFrame,
    Media,
    Notice,
    OutputAudio,
    OutputTranscript,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    TextFrame,
)
from agentfield_rt.ports import ProviderAdapter
from agentfield_rt.run import Run
from agentfield_rt.testing.fault_journal import FaultJournal, JournalFaults
from agentfield_rt.testing.held_adapter import HeldAdapter
from agentfield_rt.testing.held_calls import Call, Hold, Method
from agentfield_rt.testing.record_watch import RecordWatch
from agentfield_rt.testing.virtual_time import VirtualTimeLoop, time_passes

REFUSALS = (IllegalCommand, RepairNeeded, GateOverflow)
RUN_ID = "run_rig"
SESSION_ID = "sess_rig_1"
SETTLED_TURNS = 60

Fate = Literal["release", "fail", "doubt", "lose", "lose before it acts", "drop", "late"]
FATES: tuple[Fate, ...] = ("release", "fail", "doubt", "lose", "lose before it acts", "drop", "late")


class Say(Protocol):
    """Lets the provider say something."""

    def __call__(self, *events: ProviderEvent) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An adapter under test and the far end of its line, as far as a test can move it.

    Attributes:
        adapter: Not connected yet.
        say: Lets the provider say events, in order. Without it nothing is received.
        got: The ids of the frames that arrived at the provider, in order, as often as they did.
        drop: Loses the connection on the provider's side.
        media: What the adapter can send.
    """

    adapter: ProviderAdapter
    say: Say | None = None
    got: Callable[[], Sequence[str]] | None = None
    drop: Callable[[], None] | None = None
    media: tuple[Media, ...] = (Media.TEXT, Media.AUDIO)


class RuleBroken(AssertionError):
    """A promise of the adapter or of the runtime does not hold; the message says which."""


@dataclass(eq=False, slots=True)
class Request:
    """One call of the controller that the rig made."""

    what: str
    task: "asyncio.Task[Any]"
    frame: InputFrame | None = None
    cancelled: bool = False
    checked: bool = False


class SessionRig:
    """A controller between a held adapter and a fault journal, on a loop of its own in virtual time.

    None of its methods is a coroutine: the caller says for how many turns the loop runs.

    Args:
        make: Makes the adapter under test; called on the loop.
        seed: Chooses the order of ready tasks.
    """

    def __init__(self, make: Callable[[], Line], *, seed: int | None = None) -> None:
        self.loop = VirtualTimeLoop(seed=seed)
        self.requests: list[Request] = []
        self.holds: list[Hold] = []
        self.asked: dict[str, Media] = {}
        self.said: list[ProviderEvent] = []
        self.delivered: list[ProviderEvent] = []
        self.said_here: list[Notice] = []
        self.violations: list[str] = []
        self.journal_broke = False
        self.emergency = False
        self._numbers = count(1)
        self.loop.set_exception_handler(lambda _, context: self.violations.append(str(context)))
        self._do(self._build(make))

    async def _build(self, make: Callable[[], Line]) -> None:
        self.line = make()
        self.held = HeldAdapter(self.line.adapter, on_call=self._require_intent)
        self.journal = FaultJournal()
        self.watch = RecordWatch(await self.journal.open_run(RUN_ID), SESSION_ID)
        self.controller = RealtimeSessionController(
            self.held, Run(self.watch, clock=self.loop.time_ns), session_id=SESSION_ID
        )

    # Time.

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def turn(self, times: int) -> None:
        """Let the loop run so many turns, if there is something to do in them; timers do not move."""
        self.loop.turn(times)

    def settle(self) -> None:
        """Let everything happen that waits for nothing but its turn."""
        self.turn(SETTLED_TURNS)

    def pass_time(self, seconds: float) -> None:
        self._do(time_passes(seconds))

    # What a host does.

    @property
    def running(self) -> list[Request]:
        return [request for request in self.requests if not request.task.done()]

    def connect(self) -> Request:
        return self._request("connect", self.controller.connect())

    def send(self, media: Media = Media.TEXT) -> Request:
        frame_id = f"frame-{next(self._numbers)}"
        frame = AudioFrame(frame_id, bytes(960)) if media is Media.AUDIO else TextFrame(frame_id, "hello")
        return self._request("send", self._send(frame), frame)

    async def _send(self, frame: InputFrame) -> bool:
        self.asked[frame.frame_id] = frame.media
        return await self.controller.send(frame)

    def receive(self, demand: int = 1) -> Request:
        return self._request("receive", self._receive(demand))

    async def _receive(self, demand: int) -> None:
        events = await self.controller.receive(demand=demand)
        self.require(len(events) <= demand, "more events than were asked for")
        for event in events:
            if isinstance(event, OutputAudio | OutputTranscript):
                response = self.controller.state.responses.get(event.response_id)
                stale = response is not None and response.interrupted
                self.require(not stale, "output of an interrupted response was delivered")
        self.delivered += events

    def interrupt(self, response_id: str) -> Request:
        return self._request("interrupt", self.controller.interrupt(response_id, heard_ms=20))

    def restart(self) -> Request:
        return self._request("restart", self.controller.restart(Reason.CONNECTION_LOST))

    def close(self) -> Request:
        return self._request("close", self.controller.close())

    def fail(self) -> None:
        self._at_once(lambda: self.controller.fail(Reason.INTERNAL))

    def reconcile(self, op_id: str, decision: Decision = Decision.ABANDONED) -> None:
        self._at_once(lambda: self.controller.reconcile(op_id, decision))

    def cancel(self, request: Request) -> None:
        request.cancelled = request.task.cancel() or request.cancelled

    def _request(self, what: str, work: Coroutine[Any, Any, Any], frame: InputFrame | None = None) -> Request:
        request = Request(what, self.loop.create_task(work, name=what), frame)
        self.requests.append(request)
        return request

    def _at_once(self, act: Callable[[], None]) -> None:
        """Do something synchronous that needs its loop, without letting the loop run."""
        asyncio._set_running_loop(self.loop)
        try:
            act()
        except (*REFUSALS, JournalError):
            return
        finally:
            asyncio._set_running_loop(None)

    # What the world does.

    @property
    def faults(self) -> JournalFaults:
        return self.journal.faults

    def hold(self, method: Method, *, acted: bool = False) -> Hold:
        self.holds.append(self.held.hold(method, acted=acted))
        return self.holds[-1]

    @property
    def undecided(self) -> list[Hold]:
        return [hold for hold in self.holds if not hold.decided]

    def decide(self, hold: Hold, fate: Fate) -> None:
        """Let the provider answer a held call."""
        match fate:
            case "release":
                hold.release()
            case "late":
                hold.release(after_s=3.0)
            case "fail" if not hold.acted:
                hold.fail()
            case "doubt" | "fail":
                hold.doubt()
            case "lose":
                hold.lose()
            case "lose before it acts":
                hold.lose(acted=hold.acted)
            case "drop":
                self.said_here.clear()
                hold.drop()

    def say_response(self, *, pieces: int = 2, ends: bool = True) -> str:
        """The provider says something: a response with unmistakable pieces of audio."""
        response_id = f"resp-{next(self._numbers)}"
        self._say(ResponseStarted(response_id))
        self._say(*(self.audio(response_id) for _ in range(pieces)))
        if ends:
            self._say(ResponseEnded(response_id, ResponseStatus.COMPLETED))
        self.say_notice()
        return response_id

    def say_audio(self, response_id: str) -> None:
        self._say(self.audio(response_id))

    def say_notice(self) -> None:
        notice = Notice(f"notice-{next(self._numbers)}")
        self.said_here.append(notice)
        self._say(notice)

    def audio(self, response_id: str) -> OutputAudio:
        return OutputAudio(response_id, f"item-{response_id}", next(self._numbers).to_bytes(8, "big"))

    def _say(self, *events: ProviderEvent) -> None:
        assert self.line.say is not None
        self.said += events
        self.line.say(*events)

    def drop(self) -> None:
        """The connection is lost: at the far end if a test can do that, between us and the adapter if not."""
        self.said_here.clear()
        self._at_once(self.line.drop or self.held.drop)

    def break_append(self) -> None:
        self.journal_broke = True
        self.faults.fail("append")

    def break_durable(self, *, stored: bool = False) -> None:
        self.journal_broke = True
        self.faults.fail("durable", stored=stored)

    def stick_or_unstick_the_disk(self) -> None:
        if self.faults.hangs:
            self.faults.resume()
        else:
            self.faults.hang()

    def dispose(self) -> None:
        """Give the loop back, whatever happened."""
        for request in self.requests:
            request.task.cancel()
        self.settle()
        self._do(self.journal.close())
        self.loop.close()

    # What must hold between the two sides.

    def require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise RuleBroken(otherwise)

    def _closes_unwritten(self) -> bool:
        """The one call allowed without an intent: hanging up while the journal takes none."""
        return self.watch.durable_state.open_named(OperationName.CLOSE) is None

    def _require_intent(self, call: Call) -> None:
        """No call without a durable intent that is open and names the same thing."""
        name = OperationName(call.method)
        if call.method == "close" and self.journal_broke and self._closes_unwritten():
            self.emergency = True
        elif self.watch.durable_state.open_named(name) is None:
            self.violations.append(f"{name} was called without an open, durable intent")
        if call.method in ("connect", "restart", "close"):
            self.said_here.clear()
        if (
            call.method == "close"
            and not self.emergency
            and (others := [other.method for other in self.held.running])
        ):
            self.violations.append(
                f"close was called while {others} had not ended: they may not have ended when cancelled"
            )
        intents = [opener for opener in self.watch.durable_openers if OPENS[type(opener)] is name]
        named = [subject for intent in intents if (subject := _subject(intent)) is not None]
        is_window = call.method == "send" and len(named) < len(intents)
        if call.subject and not is_window and call.subject not in named:
            self.violations.append(f"{name} was called for something that no durable intent names")


def _subject(intent: Record) -> str | None:
    subject: str | None = getattr(intent, "frame_id", None) or getattr(intent, "response_id", None)
    return subject
