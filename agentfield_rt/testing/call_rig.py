"""A whole call in a rig: a test stops it at any turn of the loop and breaks what it likes, in virtual time.

It drives; what must hold is in `call_rules`.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from agentfield_journal import QueuedContentStore
from agentfield_journal.content.store import MemoryContent
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.agent import RealtimeSession
from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core.lifecycle import OperationName
from agentfield_rt.core.records import ApprovalDecision, Record
from agentfield_rt.errors import SessionClosed
from agentfield_rt.frames import (
    FRAME_BYTES,
    CallEnded,
    InputTranscript,
    PlaybackStopped,
    ProviderEvent,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
)
from agentfield_rt.ports import SessionConfig
from agentfield_rt.run import Run, decode
from agentfield_rt.testing.fault_journal import FaultJournal
from agentfield_rt.testing.held_adapter import HeldAdapter
from agentfield_rt.testing.held_calls import Call, Hold, Method
from agentfield_rt.testing.memory_provider import MemoryProvider
from agentfield_rt.testing.record_watch import RecordWatch
from agentfield_rt.testing.scene import Scene
from agentfield_rt.testing.session_rig import RUN_ID, SESSION_ID, RuleBroken
from agentfield_rt.testing.virtual_time import VirtualTimeLoop, time_passes
from agentfield_rt.voice.link import SessionLink, Turn
from agentfield_rt.voice.session import VoiceSession
from agentfield_rt.voice.spec import SessionServices, SessionSpec
from agentfield_rt.voice.utterance import Utterance

SETTLED_TURNS = 100


@dataclass(slots=True, eq=False)
class Asked:
    """Something that somebody outside of the session waits for."""

    what: str
    task: "asyncio.Task[Any]"


class _WatchedSession(VoiceSession):
    """Notes which turns its handler got and what was said."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.taken: list[Turn] = []
        self.said: list[Utterance] = []

    async def next_turn(self) -> Turn | None:
        turn = await super().next_turn()
        if turn is not None:
            self.taken.append(turn)
        return turn

    def say(self, text: str | None, instructions: str | None = None) -> Utterance:
        utterance = super().say(text, instructions)
        self.said.append(utterance)
        return utterance


class CallRig:
    """One session over a provider in memory, whose answers are held, and a journal that fails when told to.

    None of its methods is a coroutine: the caller says for how many turns the loop runs.

    Attributes:
        asked: Everything that somebody waits for; none of it may outlive the session.
        raised: What the handler raised, apart from the end of its session.
        store: What the journal keeps, whoever writes it.
        clock_ahead_ns: How wrong the wall clock is.
        journal_broke: Set it before a fault of the journal, so that its errors are expected.
    """

    def __init__(self, scene: Scene | None = None) -> None:
        self.scene = scene or Scene()
        self.loop = VirtualTimeLoop()
        self.complaints: list[str] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(_told(context)))
        self.provider = MemoryProvider(answer=self.scene.answer)
        self.adapter = HeldAdapter(self.provider, on_call=self._require_intent)
        self.store = MemoryStore()
        self.journal = FaultJournal(self.store)
        self.asked: list[Asked] = []
        self.holds: list[Hold] = []
        self.raised: list[BaseException] = []
        self.clock_ahead_ns = 0
        self.journal_broke = False
        self._model_calls = 0
        self.run(self._build())

    async def _build(self) -> None:
        scene = self.scene
        self.content = QueuedContentStore(MemoryContent())
        self.watch = RecordWatch(await self.journal.open_run(RUN_ID), SESSION_ID)
        self.call_run = Run(self.watch, clock=self._now_ns, journal=self.journal)
        spec = SessionSpec(
            session_id=SESSION_ID,
            target="node.voice",
            provider="local",
            transport=scene.transport,
            config=SessionConfig(
                turn_detection={"type": "server_vad", "silence_duration_ms": 320},
                create_response=scene.model_answers,
            ),
            tools=scene.tools,
            approvals={rule.target: rule for rule in scene.approvals},
            stream_rules=scene.rules,
            apology=scene.apology,
            answer_within_s=scene.answer_within_s,
        )
        self.session = _WatchedSession(
            spec,
            self.call_run,
            controller=RealtimeSessionController(self.adapter, self.call_run, session_id=SESSION_ID),
            services=SessionServices(content=self.content, executor=scene.desk, clock=self._now_ns),
            handler=self._handle if scene.function else None,
        )
        self.session.start()
        self.watching = self.loop.create_task(self._watch_live(), name="watching")

    async def _handle(self, link: SessionLink) -> None:
        assert self.scene.function is not None
        try:
            await self.scene.function(RealtimeSession(link))
        except BaseException as error:
            is_stopped = isinstance(error, SessionClosed | asyncio.CancelledError) and self.session.is_over
            if not is_stopped:
                self.raised.append(error)
            raise

    async def _watch_live(self) -> None:
        async for _ in self.session.live.subscribe():
            pass

    def _now_ns(self) -> int:
        return self.loop.time_ns() + self.clock_ahead_ns

    def _require_intent(self, call: Call) -> None:
        """No call of the provider without a durable intent; hanging up while the journal takes none may."""
        is_emergency = call.method == "close" and self.journal_broke
        if not is_emergency and self.watch.durable_state.open_named(OperationName(call.method)) is None:
            self.complaints.append(f"{call.method} was called without an open, durable intent")

    # Time.

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def turn(self, times: int = 1) -> None:
        """Let the loop run so many turns, if there is something to do in them; timers do not move."""
        self.loop.turn(times)

    def settle(self) -> None:
        """Let everything happen that waits for nothing but its turn."""
        self.turn(SETTLED_TURNS)

    def pass_time(self, seconds: float) -> None:
        self.run(time_passes(seconds))

    def advance(self) -> None:
        """One turn; where nothing is ready, the time until something is."""
        inside: dict[str, Any] = vars(self.loop)
        timers = [timer.when() for timer in inside["_scheduled"] if not timer.cancelled()]
        if not inside["_ready"] and timers:
            self.pass_time(max(min(timers) - self.loop.time(), 0))
        else:
            self.turn()

    # What people outside do.

    def ask(self, what: str, work: Coroutine[Any, Any, Any]) -> Asked:
        asked = Asked(what, self.loop.create_task(work, name=f"asked {what}"))
        self.asked.append(asked)
        return asked

    @property
    def waiting(self) -> list[Asked]:
        return [asked for asked in self.asked if not asked.task.done()]

    def connect(self) -> Asked:
        caller = self.scene.listener if self.scene.transport == "websocket" else None
        return self.ask("connect", self.session.connect(caller=caller))

    def connected(self) -> None:
        self.connect()
        self.settle()

    def say(self, text: str = "one two three") -> Asked:
        async def say() -> None:
            await self.session.say(text).wait()

        return self.ask("say", say())

    def user_starts(self) -> None:
        self.give(SpeechStarted("item_user"))

    def user_stops(self, text: str = "hello") -> None:
        self.give(SpeechStopped("item_user"), InputTranscript("item_user", text, final=True))

    def user_says(self, text: str = "hello", *, then_s: float = 2.0) -> None:
        """A whole turn, and the time to answer it."""
        self.user_starts()
        self.user_stops(text)
        self.pass_time(then_s)

    def user_types(self, text: str) -> Asked:
        return self.ask("text", self.session.hear_text(text))

    def user_dials(self, digits: str) -> Asked:
        """The user presses keys, one right after the other."""

        async def dial() -> None:
            for digit in digits:
                self.session.digits.hear(digit)

        return self.ask("dial", dial())

    def user_is_heard(self) -> Asked:
        return self.ask("audio", self.session.hear_audio(bytes(FRAME_BYTES)))

    def decide(self, decision: ApprovalDecision) -> Asked | None:
        """Answer the oldest question, if there is one."""
        pending = self.session.approvals.pending
        if not pending:
            return None
        return self.ask("decide", self.session.approvals.decide(pending[0].approval_id, decision))

    def close(self) -> Asked:
        return self.ask("close", self.session.close())

    # What the provider does.

    def give(self, *events: ProviderEvent) -> None:
        with self._in_loop():
            self.provider.say(*events)

    def model_calls(self, name: str = "look_up", *, times: int = 1) -> None:
        """The model asks for a tool, and the provider says so once or more often."""
        self._model_calls += 1
        call = ToolCalled("resp_x", f"call_{self._model_calls}", name, "{}")
        self.give(*[call] * times)

    def playback_ends(self, *, cleared: bool = False) -> None:
        """Over WebRTC the provider reports that the caller hears no more of the last response."""
        self.give(PlaybackStopped(f"resp_{len(self.provider.got)}", cleared=cleared))

    def hold(self, method: Method) -> Hold:
        """The next call of `method` is answered when the test says so."""
        self.holds.append(self.adapter.hold(method))
        return self.holds[-1]

    def drop(self) -> None:
        with self._in_loop():
            self.provider.drop()

    def hang_up(self) -> None:
        self.give(CallEnded())

    # What a test looks at.

    def require(self, condition: object, problem: str) -> None:
        if not condition:
            raise RuleBroken(problem)

    def records(self) -> list[Record]:
        return [decode(envelope) for envelope in self.run(self.journal.read(RUN_ID))]

    def own_tasks(self) -> "list[asyncio.Task[Any]]":
        """The tasks that work for the session."""
        others = {self.watching, *(asked.task for asked in self.asked)}
        return sorted(asyncio.all_tasks(self.loop) - others, key=lambda task: task.get_name())

    def dispose(self) -> None:
        """Whatever is left goes with the loop."""
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        with contextlib.suppress(RuntimeError):
            self.settle()
        self.loop.set_exception_handler(_ignore)
        self.loop.close()

    @contextmanager
    def _in_loop(self) -> Generator[None]:
        """What a callback of the loop would do, from outside of it."""
        asyncio._set_running_loop(self.loop)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)


def _told(context: dict[str, Any]) -> str:
    task = context.get("task") or context.get("future")
    where = f" in {task.get_name()}" if isinstance(task, asyncio.Task) else ""
    return f"{context['message']}{where}: {context.get('exception')!r}"


def _ignore(*_: object) -> None:
    """What breaks while a rig is taken down is nobody's business."""
