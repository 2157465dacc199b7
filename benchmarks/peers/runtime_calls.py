"""This runtime, as the peers are measured: calls whose media we carry, with all that belongs to one.

The provider gives 200 ms of speech at a time, as it would over a socket, and takes what the callers say.
"""

import asyncio
import tempfile
from itertools import cycle

from agentfield_journal import Journal, open_journal
from agentfield_rt import Run
from agentfield_rt.config import Settings
from agentfield_rt.frames import (
    FRAME_BYTES,
    AudioFrame,
    InputFrame,
    OutputAudio,
    OutputTranscript,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
)
from agentfield_rt.plane.calls.webrtc import WebRtcCalls
from agentfield_rt.voice.link import SessionLink
from agentfield_rt.voice.session import VoiceSession
from benchmarks.peers import call_server
from benchmarks.peers.speech import FRAME_S, spoken
from benchmarks.voice_call import WORDS, Speaker, services, voice_session

PIECE_S = 0.2
ANSWER_PIECES = 100
RATE_HZ = 24_000


class Provider:
    """Speaks in all calls, all the time; one timer for all, as their sockets would be read by one loop."""

    def __init__(self) -> None:
        self.heard_frames = 0.0
        self._lines: list[Line] = []
        frames = spoken(RATE_HZ)
        per_piece = round(PIECE_S / FRAME_S)
        self._pieces = cycle(
            [b"".join(frames[at : at + per_piece]) for at in range(0, len(frames), per_piece)]
        )
        self._task = asyncio.create_task(self._speak())

    def line(self) -> "Line":
        """Return the adapter of one more call."""
        self._lines.append(Line(self))
        return self._lines[-1]

    async def _speak(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s += PIECE_S
            await asyncio.sleep(due_s - loop.time())
            piece = next(self._pieces)
            for line in self._lines:
                line.speak(piece)


class Line(Speaker):
    """The provider's end of one call."""

    def __init__(self, provider: Provider) -> None:
        super().__init__()
        self._provider = provider
        self._words = cycle(WORDS)
        self._response_id: str | None = None
        self._left_pieces = 0

    async def send(self, frame: InputFrame) -> None:
        if isinstance(frame, AudioFrame):
            self._provider.heard_frames += len(frame.pcm) / FRAME_BYTES
        elif isinstance(frame, SpeechFrame):
            self._responses_total += 1
            self._response_id = f"resp_{self._responses_total:016x}"
            self._left_pieces = ANSWER_PIECES
            self.give(ResponseStarted(self._response_id, frame.utterance_id))

    def speak(self, piece: bytes) -> None:
        """Give the next piece of the answer that is going on."""
        if self._response_id is None:
            return
        self.give(OutputAudio(self._response_id, "item", piece))
        self.give(OutputTranscript(self._response_id, "item", f"{next(self._words)} "))
        self._left_pieces -= 1
        if not self._left_pieces:
            self.give(ResponseEnded(self._response_id, ResponseStatus.COMPLETED))
            self._response_id = None


async def talk(link: SessionLink) -> None:
    """A handler that talks without end."""
    while True:
        await link.say("a long answer", None).wait()


class Server:
    """All calls of this process."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._provider = Provider()
        self._calls = WebRtcCalls(Settings())
        self._shared = services()
        self._sessions: list[VoiceSession] = []

    @property
    def heard_frames(self) -> float:
        return self._provider.heard_frames

    async def answer(self, offer: str) -> str:
        number = len(self._sessions)
        session = voice_session(
            await Run.open(self._journal, f"run-{number}"),
            self._provider.line(),
            session_id=f"sess_{number:016x}",
            shared=self._shared,
            handler=talk,
        )
        self._sessions.append(session)
        return await self._calls.answer(session, offer.encode())


async def started() -> Server:
    folder = tempfile.mkdtemp()
    return Server(await open_journal(f"sqlite:///{folder}/journal.db"))


if __name__ == "__main__":
    call_server.main(started)
