"""What golden stories are told with: a session at its provider's boundary, as a host drives it.

A story says what a call promised when it returned (`tell`); the rest it leaves to whoever finds the journal.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agentfield_rt.controller import EACH, Backoff, BoundarySettings, RealtimeSessionController, Windows
from agentfield_rt.core import records
from agentfield_rt.errors import (
    CloseReason,
)
from agentfield_rt.frames import (
    AudioFrame,
    OutputAudio,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    TextFrame,
)
from agentfield_rt.run import Run
from agentfield_rt.testing.memory_provider import Answer, echo
from tests.recovery.process import CONTEXT, RUN, SESSION, Process

Story = Callable[[Process], Awaitable[None]]
STEADY = BoundarySettings(backoff=lambda: Backoff(jitter=lambda: 1.0))
ONE_BY_ONE = BoundarySettings(windows=EACH)
SMALL_WINDOWS = BoundarySettings(windows=Windows(frames_max=4, events_max=4))


@dataclass(frozen=True, slots=True)
class Golden:
    """A story by name.

    Attributes:
        answer: What its provider says.
        emergencies: How often it hangs up while the journal takes no intent; a crash may lose the record.
    """

    tell: Story
    answer: Answer = echo
    emergencies: int = 0

    @property
    def name(self) -> str:
        return self.tell.__name__


class Stories(list[Golden]):
    """The stories of a module."""

    def add(self, story: Story) -> Story:
        self.append(Golden(story))
        return story

    def add_with(self, answer: Answer = echo, *, emergencies: int = 0) -> Callable[[Story], Story]:
        """A story that needs something of its own."""

        def register(story: Story) -> Story:
            self.append(Golden(story, answer, emergencies))
            return story

        return register


class Line:
    """A session at the provider's boundary, as a host drives it."""

    def __init__(self, process: Process, run: Run, settings: BoundarySettings) -> None:
        self.process = process
        self.run = run
        self.controller = RealtimeSessionController(
            process.adapter, run, session_id=SESSION, settings=settings
        )
        self._frames = 0

    @classmethod
    async def begin(cls, process: Process, settings: BoundarySettings = STEADY) -> "Line":
        run = await Run.open(process.journal, RUN, clock=process.clock)
        started = records.SessionStarted(target="a.voice", provider="local", transport="websocket")
        run.append([started], CONTEXT)
        return cls(process, run, settings)

    @classmethod
    async def connected(cls, process: Process, settings: BoundarySettings = STEADY) -> "Line":
        line = await cls.begin(process, settings)
        await line.controller.connect()
        await line.durable("realtime_connected")
        return line

    async def durable(self, kind: str) -> None:
        await self.run.durable()
        self.process.tell(kind)

    async def text(self, text: str = "hello") -> bool:
        self._frames += 1
        sent = await self.controller.send(TextFrame(f"text-{self._frames}", text))
        if sent:
            self.process.tell("realtime_input_send_requested")
        return sent

    async def audio(self, frames: int = 1) -> None:
        for _ in range(frames):
            self._frames += 1
            pcm = self._frames.to_bytes(2, "big") * 480
            await self.controller.send(AudioFrame(f"audio-{self._frames}", pcm))

    async def receive(self, demand: int = 8) -> None:
        await self.controller.receive(demand=demand)

    def say(self, response_id: str, pieces: int = 2, *, ends: bool = False) -> None:
        self.process.provider.say(
            ResponseStarted(response_id),
            *(OutputAudio(response_id, f"item-{response_id}", bytes([n] * 960)) for n in range(pieces)),
            *([ResponseEnded(response_id, ResponseStatus.COMPLETED)] if ends else []),
        )

    async def close(self, reason: CloseReason = CloseReason.NORMAL) -> None:
        await self.controller.close(reason)
        self.process.tell(records.Detached.kind if reason is CloseReason.DETACH else records.Closed.kind)

    async def end(self, reason: CloseReason = CloseReason.NORMAL) -> None:
        """Hang up, say that the session is over, and seal the run."""
        await self.close(reason)
        await self.seal(reason)

    async def seal(self, reason: CloseReason = CloseReason.NORMAL) -> None:
        self.run.append([records.SessionEnded(reason=reason)], CONTEXT)
        await self.run.seal(records.RunCancelled())
        self.process.tell("run_cancelled")
        await self.run.release()
