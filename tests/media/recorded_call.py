"""A call that is recorded, in virtual time: what is said is unmistakable, the encoder keeps it as it is."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agentfield_adapters.scripted import Answer, ScriptedAdapter
from agentfield_journal import Envelope, QueuedContentStore, StoreJournal
from agentfield_journal.content.store import MemoryContent
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.agent import RealtimeSession
from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core.records import Record
from agentfield_rt.frames import SAMPLE_RATE_HZ, OutputAudio, ResponseEnded, ResponseStarted, ResponseStatus
from agentfield_rt.ports import AudioEncoder, SessionConfig
from agentfield_rt.recording import KeptRecording, Recordings, recordings_of
from agentfield_rt.run import Run, decode
from agentfield_rt.testing import Desk, time_passes
from agentfield_rt.voice.link import SessionLink
from agentfield_rt.voice.session import VoiceSession
from agentfield_rt.voice.spec import SessionServices, SessionSpec

RUN_ID, SESSION_ID = "run_recorded", "sess_recorded"
FRAME_S = 0.02
FRAME_SAMPLES = 480
Sound = npt.NDArray[np.int16]


def frame(number: int) -> bytes:
    """20 ms that no other frame is equal to; never silence."""
    return np.full(FRAME_SAMPLES, number + 1, dtype="<i2").tobytes()


def heard(sound: Sound) -> list[int]:
    """The numbers of the frames in it, each once for a run of it; silence is left out."""
    edges = np.flatnonzero(np.diff(sound, prepend=0))
    return [int(sound[edge]) - 1 for edge in edges if sound[edge]]


class KeepingEncoder:
    """Encodes nothing: both sides as they came, for a test to look at."""

    format = "pcm"

    def __init__(self) -> None:
        self._sides: list[tuple[bytes, bytes]] = []

    def encode(self, caller: bytes, agent: bytes) -> bytes:
        assert len(caller) == len(agent)
        self._sides.append((caller, agent))
        return np.stack([np.frombuffer(side, "<i2") for side in (caller, agent)], axis=1).tobytes()

    def finish(self) -> bytes:
        return b""


@dataclass
class Ear:
    """The caller: what it was handed and has not dropped, with the time each frame begins to sound."""

    sounding: list[tuple[float, bytes]] = field(default_factory=list[tuple[float, bytes]])
    ends_at_s: float = 0.0

    async def play(self, pcm: bytes) -> None:
        begins_at_s = max(self.ends_at_s, asyncio.get_running_loop().time())
        self.sounding.append((begins_at_s, pcm))
        self.ends_at_s = begins_at_s + len(pcm) / (2 * SAMPLE_RATE_HZ)

    async def clear(self) -> None:
        now_s = asyncio.get_running_loop().time()
        # What began less than a sample ago has not sounded.
        self.sounding = [(at_s, pcm) for at_s, pcm in self.sounding if now_s - at_s > 1 / SAMPLE_RATE_HZ]
        self.ends_at_s = min(self.ends_at_s, now_s)


@dataclass
class RecordedCall:
    """A running call."""

    session: VoiceSession
    adapter: ScriptedAdapter
    journal: StoreJournal
    content: QueuedContentStore
    ear: Ear
    spoken: list[int] = field(default_factory=list[int])
    answers: int = 0
    answered: int = 0
    hearing: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    async def speaks(self, *, frames: int, waits: bool = True) -> None:
        """The caller speaks so many frames in real time, without waiting for the provider if not `waits`."""
        for _ in range(frames):
            number = len(self.spoken)
            self.spoken.append(number)
            hearing = asyncio.create_task(self.session.hear_audio(frame(number)))
            self.hearing.append(hearing)
            if waits:
                await asyncio.wait([hearing])
            await time_passes(FRAME_S)

    def answer(self, *, frames: int, ends: bool = True) -> None:
        """The provider's model answers by itself: so much at once, and all of it if it `ends`."""
        self.answers += 1
        self.answered = 0
        self.adapter.give(ResponseStarted(self.response_id))
        self.more(frames=frames)
        if ends:
            self.adapter.give(ResponseEnded(self.response_id, ResponseStatus.COMPLETED))

    def more(self, *, frames: int) -> None:
        """More of the last answer comes, also after it has ended or was cut off."""
        first = self.answers * 1_000 + self.answered
        self.answered += frames
        pieces = (frame(first + number) for number in range(frames))
        self.adapter.give(*(OutputAudio(self.response_id, "item", piece) for piece in pieces))

    @property
    def response_id(self) -> str:
        return f"resp-own-{self.answers}"

    async def cut(self) -> None:
        """The agent is silenced, as where somebody speaks over it."""
        player = self.session._player  # pyright: ignore[reportPrivateUsage]
        assert player is not None
        await player.clear()

    async def end(self) -> None:
        await self.session.close()
        await self.session.ended()
        await asyncio.gather(*self.hearing, return_exceptions=True)  # a frame may be refused

    async def envelopes(self) -> list[Envelope]:
        return await self.journal.read(RUN_ID)

    async def records(self) -> list[Record]:
        return [decode(envelope) for envelope in await self.envelopes()]

    async def recording(self) -> KeptRecording:
        (kept,) = recordings_of(await self.records())
        return kept

    async def file(self) -> bytes:
        return b"".join([await self.content.get(ref) for ref in (await self.recording()).refs])

    async def sides(self) -> tuple[Sound, Sound]:
        """Caller and agent, of a recording by `KeepingEncoder`."""
        both = np.frombuffer(await self.file(), "<i2").reshape(-1, 2)
        return both[:, 0], both[:, 1]


async def _nothing_to_say(session: RealtimeSession) -> None:
    async for _ in session.turns():
        pass


@asynccontextmanager
async def recorded_call(
    make_encoder: Callable[[], AudioEncoder] = KeepingEncoder,
    *,
    answer: Answer | None = None,
    listens: bool = True,
) -> AsyncGenerator[RecordedCall]:
    """A call from its start to its end; `call.end()` ends it earlier, for whoever wants to look at it."""
    journal, content = StoreJournal(MemoryStore()), QueuedContentStore(MemoryContent())
    adapter = ScriptedAdapter(answer=answer) if answer else ScriptedAdapter()
    run = await Run.open(journal, RUN_ID)
    spec = SessionSpec(
        session_id=SESSION_ID,
        target="node.voice",
        provider="local",
        transport="websocket",
        config=SessionConfig(),
        recorded=True,
    )
    recordings = Recordings(make_encoder, content)

    async def handle(link: SessionLink) -> None:
        await _nothing_to_say(RealtimeSession(link))

    session = VoiceSession(
        spec,
        run,
        controller=RealtimeSessionController(adapter, run, session_id=SESSION_ID),
        services=SessionServices(content=content, executor=Desk(), recordings=recordings),
        handler=handle,
    )
    session.start()
    call = RecordedCall(session, adapter, journal, content, Ear())
    before = asyncio.all_tasks()
    try:
        await session.connect(caller=call.ear if listens else None)
        yield call
        await call.end()
        assert asyncio.all_tasks() == before, "tasks of the session are left"
    finally:
        recordings.close()
        await content.close()
        await journal.close()
