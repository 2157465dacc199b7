"""A whole call in any order: Hypothesis looks for a promise that the session breaks."""

import asyncio
from typing import ClassVar, Literal

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from agentfield_rt.agent import RealtimeSession
from agentfield_rt.deliveries import Destination, Output
from agentfield_rt.errors import ProviderError, RealtimeError, Reason
from agentfield_rt.testing.handler_machine import TURNS, FaultyHandlerMachine, HandlerMachine
from agentfield_rt.testing.scene import Scene, plays_at_the_provider, speaks
from tests.voice.scenarios import ABORTS, INJECTS, PAUSES, sink
from tests.voice.scene import scene
from tests.voice.throws import Thrown

TEXTS = ["", "hello there", "a secret", "please stop", "one two three"]
Transport = Literal["websocket", "webrtc"]
TRANSPORTS: list[Transport] = ["websocket", "webrtc"]
ACTS = ["go on", "go on", "say", "say", "say and wait", "reply", "call", "deliver", "interrupt"]


class Script:
    """What the handler does next: the test says so, one act at a time."""

    def __init__(self) -> None:
        self.acts: asyncio.Queue[str] = asyncio.Queue()
        self.deliveries = 0

    async def __call__(self, session: RealtimeSession) -> None:
        async for turn in session.turns():
            while (act := await self.acts.get()) != "go on":
                await self._act(act, session, turn.text)

    async def _act(self, act: str, session: RealtimeSession, text: str) -> None:
        match act:
            case "say":
                session.say(text or "pardon")
            case "say and wait":
                await session.say(text or "pardon")
            case "reply":
                session.reply("be brief")
            case "call":
                await session.call("node.look_up", text=text)
            case "deliver":
                self.deliveries += 1
                output = Output(source_id=f"turn_{self.deliveries % 3}", body=b"{}")
                await session.deliver(output, Destination("crm", "case-42"), sink())
            case "interrupt":
                await session.interrupt()
            case "raise":
                raise Thrown
            case _:
                await session.close()


class VoiceMachine(HandlerMachine):
    """The handler does what the test says, and others use the session beside it."""

    texts = st.sampled_from(TEXTS)
    may_raise: ClassVar = (Thrown, RealtimeError)
    answers_within_s: ClassVar = None
    transport: Transport = "websocket"
    is_ruled = False

    def make(self) -> Scene:
        self.script = Script()
        return scene(
            self.script,
            transport=self.transport,
            answer=plays_at_the_provider if self.transport == "webrtc" else speaks(audio_ms=200),
            rules=(PAUSES, ABORTS, INJECTS) if self.is_ruled else (),
            apology="sorry",
        )

    @initialize(turns=TURNS, transport=st.sampled_from(TRANSPORTS), is_ruled=st.booleans())
    def begin(self, turns: int, transport: Transport = "websocket", is_ruled: bool = False) -> None:
        self.transport, self.is_ruled = transport, is_ruled
        super().begin(turns)
        self.stage.may_raise = (Thrown,)

    @rule(acts=st.lists(st.sampled_from(ACTS), min_size=1, max_size=3), turns=TURNS)
    def handler_acts(self, acts: list[str], turns: int) -> None:
        for act in acts:
            self.script.acts.put_nowait(act)
        self.stage.turn(turns)

    @rule(act=st.sampled_from(["raise", "raise", "raise", "close"]), rarely=st.integers(0, 3), turns=TURNS)
    def handler_breaks_off(self, act: str, rarely: int, turns: int) -> None:
        if not rarely:
            self.script.acts.put_nowait(act)
            self.stage.turn(turns)

    @rule(text=st.sampled_from(TEXTS[1:]), turns=TURNS)
    def somebody_speaks(self, text: str, turns: int) -> None:
        self.stage.say(text)
        self.stage.turn(turns)

    @rule(turns=TURNS)
    def somebody_interrupts(self, turns: int) -> None:
        self.stage.ask("interrupt", self.stage.session.interrupt())
        self.stage.turn(turns)

    @precondition(lambda self: self.stage.waiting)
    @rule(which=st.integers(0, 20), times=st.integers(1, 2), turns=TURNS)
    def somebody_stops_waiting(self, which: int, times: int, turns: int) -> None:
        waiting = self.stage.waiting
        for _ in range(times):
            waiting[which % len(waiting)].task.cancel()
            self.stage.turn(turns)

    @rule(retryable=st.booleans(), turns=TURNS)
    def connection_is_lost_and_the_restart_fails(self, retryable: bool, turns: int) -> None:
        refusal = ProviderError("busy", reason=Reason.UNAVAILABLE, retryable=retryable)
        self.stage.hold("restart").fail(refusal)
        self.stage.drop()
        self.stage.turn(turns)


class BrokenJournalVoiceMachine(FaultyHandlerMachine, VoiceMachine):
    """The same over a journal that fails now and then."""
