"""One controller in a rig: a test overlaps calls, holds every answer, and breaks what it likes."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from agentfield_adapters.scripted import Hold, Method, ScriptedAdapter, silent
from agentfield_journal import JournalError, JournalFull, JournalUnavailable, StoreJournal
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.controller import EACH, Backoff, BoundarySettings, RealtimeSessionController, Windows
from agentfield_rt.core.records import Decision, Limits
from agentfield_rt.core.records.realtime import DEFAULT_LIMITS
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
from agentfield_rt.run import Run
from agentfield_rt.testing import RuleBroken
from tests.controller.watch import WatchedAdapter, WatchedWriter
from tests.virtual_time import VirtualTimeLoop, time_passes

REFUSALS = (IllegalCommand, RepairNeeded, GateOverflow)
SESSION_ID = "sess_stage_1"


@dataclass(eq=False)
class Request:
    """One call of the controller that a test made."""

    what: str
    task: asyncio.Task[Any]
    frame: InputFrame | None = None
    cancelled: bool = False
    checked: bool = False


@dataclass
class Rig:
    """A controller over a watched adapter and a watched journal, on a loop with virtual time."""

    windows: Windows = EACH
    limits: Limits = DEFAULT_LIMITS
    backoff: Backoff = field(default_factory=Backoff)
    loop: VirtualTimeLoop = field(default_factory=VirtualTimeLoop)
    session_id: str = SESSION_ID
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
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(str(context)))
        self.run(self._build())

    async def _build(self) -> None:
        self.journal = StoreJournal(MemoryStore())
        self.writer = WatchedWriter(await self.journal.open_run("run_stage"), self.session_id)
        self.scripted = ScriptedAdapter(answer=silent)
        self.adapter = WatchedAdapter(self.scripted, self.writer, lambda: self.controller.state, self.windows)
        self.controller = RealtimeSessionController(
            self.adapter,
            Run(self.writer, clock=lambda: 0),
            session_id=self.session_id,
            settings=BoundarySettings(windows=self.windows, limits=self.limits, backoff=lambda: self.backoff),
        )

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def turn(self, times: int) -> None:
        """Let the loop run so many turns, if there is something to do in them; timers do not move."""
        self.loop.turn(times)

    def settle(self) -> None:
        """Let everything happen that waits for nothing but its turn."""
        self.turn(60)

    def pass_time(self, seconds: float) -> None:
        self.run(time_passes(seconds))

    # What a host does.

    def request(self, what: str, work: Coroutine[Any, Any, Any], frame: InputFrame | None = None) -> Request:
        request = Request(what, self.loop.create_task(work, name=what), frame)
        self.requests.append(request)
        return request

    def connect(self) -> Request:
        return self.request("connect", self.controller.connect())

    def send(self, media: Media = Media.AUDIO) -> Request:
        frame_id = f"frame-{next(self.numbers)}"
        frame = (
            TextFrame(frame_id, "hello")
            if media is Media.TEXT
            else AudioFrame(frame_id, frame_id.encode().ljust(16))
        )
        return self.request("send", self.controller.send(frame), frame)

    def receive(self, demand: int = 1) -> Request:
        return self.request("receive", self._receive(demand))

    async def _receive(self, demand: int) -> None:
        events = await self.controller.receive(demand=demand)
        self.require(len(events) <= demand, "more events than were asked for")
        for event in events:
            self.require(not self.adapter.was_stale(event), "output of an interrupted response was delivered")
        self.delivered += [event for event in events if isinstance(event, OutputAudio)]
        self.delivered_total += len(events)

    def interrupt(self, response_id: str) -> Request:
        return self.request("interrupt", self.controller.interrupt(response_id, heard_ms=20))

    def refer(self) -> Request:
        target = f"tel:{next(self.numbers)}"
        return self.request("refer", self.controller.refer(target, target_ref=f"ref.{target}"))

    def restart(self) -> Request:
        return self.request("restart", self.controller.restart(Reason.CONNECTION_LOST))

    def reconnect(self) -> Request:
        return self.request("reconnect", self.controller.reconnect(Reason.CONNECTION_LOST))

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

    @property
    def undecided(self) -> list[Hold]:
        return [hold for hold in self.holds if hold not in self._decided]

    def decide(self, hold: Hold, verdict: str) -> None:
        """Let the provider answer a held call."""
        self._decided.append(hold)
        error = ProviderError("refused", reason=Reason.UNAVAILABLE)
        broken = ProviderError("not now", reason=Reason.UNAVAILABLE, retryable=True)
        doubt = ProviderError("no answer", reason=Reason.TIMEOUT, not_done=False)

        match verdict:
            case "release":
                hold.release()
            case "refuse":
                hold.fail(error)
            case "break":
                hold.fail(broken)
            case "doubt":
                hold.fail(doubt)
            case "lose":
                hold.lose()
            case _:
                hold.lose(acted=False)

    def drop(self) -> None:
        self.scripted.drop(ConnectionLost("dropped"))

    def dispose(self) -> None:
        """Give the loop back, whatever happened."""
        for request in self.requests:
            request.task.cancel()
        self.settle()
        self.run(self.journal.close())
        self.loop.close()

    def require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise RuleBroken(otherwise)
