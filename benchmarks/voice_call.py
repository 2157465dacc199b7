"""What the benchmarks of the session core share: adapters that cost nothing, and a call in virtual time."""

import asyncio
from collections import deque

from agentfield_journal import QueuedContentStore
from agentfield_journal.content.store import MemoryContent
from agentfield_rt import RealtimeSessionController, Run
from agentfield_rt.errors import CloseReason
from agentfield_rt.frames import (
    FRAME_BYTES,
    InputFrame,
    InputTranscript,
    OutputAudio,
    OutputTranscript,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    SpeechStarted,
    SpeechStopped,
)
from agentfield_rt.ports import Connection, ConnectRequest, ProviderAdapter, SessionConfig
from agentfield_rt.voice.link import ExecutionRequest, Handler, SessionLink
from agentfield_rt.voice.session import VoiceSession
from agentfield_rt.voice.spec import SessionServices, SessionSpec

SILENCE = bytes(FRAME_BYTES)
FRAME_S = 0.02
WORDS = "your order left us this morning and it will be with you tomorrow before noon".split()


class BareAdapter:
    """Takes everything and does nothing, so that only the runtime is measured."""

    async def connect(self, request: ConnectRequest) -> Connection:
        return Connection(session_id=request.session_id, connection_id="connection-1")

    async def send(self, frame: InputFrame) -> None:
        pass

    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        await asyncio.get_running_loop().create_future()
        return ()

    async def interrupt(self, response_id: str, *, heard_ms: int | None) -> None:
        pass

    async def restart(self, request: ConnectRequest) -> Connection:
        return await self.connect(request)

    async def close(self, reason: CloseReason) -> None:
        pass


class Speaker(BareAdapter):
    """A provider that hears whole turns and answers with speech, in real time.

    Args:
        speech_s: How long an answer is.
    """

    def __init__(self, speech_s: float = 4.0) -> None:
        self._speech_frames = round(speech_s / FRAME_S)
        self._events: deque[ProviderEvent] = deque()
        self._come = asyncio.Event()
        self._answers: set[asyncio.Task[None]] = set()
        self._responses_total = 0

    async def send(self, frame: InputFrame) -> None:
        if isinstance(frame, SpeechFrame):
            self._responses_total += 1
            answer = self._speak(frame.utterance_id, f"resp_{self._responses_total:016x}")
            task = asyncio.create_task(answer)
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)

    async def receive(self, *, demand: int) -> tuple[ProviderEvent, ...]:
        while not self._events:
            self._come.clear()
            await self._come.wait()
        return tuple(self._events.popleft() for _ in range(min(demand, len(self._events))))

    def give(self, *events: ProviderEvent) -> None:
        self._events.extend(events)
        self._come.set()

    async def hear(
        self, item_id: str, *, speech_s: float = 2.5, silence_s: float = 0.3, transcript_s: float = 0.2
    ) -> None:
        """The user says a whole turn, transcribed as it is said."""
        self.give(SpeechStarted(item_id))
        for word in WORDS[:8]:
            await asyncio.sleep(speech_s / 8)
            self.give(InputTranscript(item_id, f"{word} ", final=False))
        await asyncio.sleep(silence_s)
        self.give(SpeechStopped(item_id))
        await asyncio.sleep(transcript_s)
        self.give(InputTranscript(item_id, " ".join(WORDS[:8]), final=True))

    async def _speak(self, utterance_id: str, response_id: str) -> None:
        self.give(ResponseStarted(response_id, utterance_id))
        words_every = self._speech_frames // len(WORDS)
        for number in range(self._speech_frames):
            await asyncio.sleep(FRAME_S)
            self.give(OutputAudio(response_id, "item", SILENCE))
            if number % words_every == 0 and number // words_every < len(WORDS):
                self.give(OutputTranscript(response_id, "item", f"{WORDS[number // words_every]} "))
        self.give(ResponseEnded(response_id, ResponseStatus.COMPLETED))


class Ear:
    """A caller who takes what is played and keeps nothing."""

    async def play(self, pcm: bytes) -> None:
        pass

    async def clear(self) -> None:
        pass


class NoTools:
    """An executor of nothing."""

    async def execute(self, request: ExecutionRequest) -> None:
        raise NotImplementedError


async def answer_turns(link: SessionLink) -> None:
    """A handler that answers every turn."""
    while await link.next_turn() is not None:
        link.say(" ".join(WORDS), None)


def services() -> SessionServices:
    """What the sessions of a process share."""
    return SessionServices(content=QueuedContentStore(MemoryContent()), executor=NoTools())


def voice_session(
    run: Run,
    adapter: ProviderAdapter,
    *,
    session_id: str = "sess_0123456789abcdef",
    shared: SessionServices | None = None,
    handler: Handler = answer_turns,
) -> VoiceSession:
    """A session whose media we carry, with a handler that answers."""
    session = VoiceSession(
        SessionSpec(
            session_id=session_id,
            target="support.voice",
            provider="openai",
            transport="websocket",
            config=SessionConfig(turn_detection={"type": "server_vad", "silence_duration_ms": 300}),
        ),
        run,
        controller=RealtimeSessionController(adapter, run, session_id=session_id),
        services=shared or services(),
        handler=handler,
    )
    session.start()
    return session
