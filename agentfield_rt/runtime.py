"""Sessions in a service of yours, without HTTP: the control plane, but for its web framework.

Whoever talks is code of yours: it gives the session sound and text, and takes the agent's and the records.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Self

from agentfield_rt.agent import Agent
from agentfield_rt.config import Settings
from agentfield_rt.core.records import Record, SessionEnded
from agentfield_rt.errors import CloseReason, IllegalCommand
from agentfield_rt.frames import FRAME_BYTES
from agentfield_rt.plane.control_plane import ControlPlane, open_control_plane
from agentfield_rt.plane.sessions import StartRequest
from agentfield_rt.run import decode
from agentfield_rt.voice.link import ExecutionRequest
from agentfield_rt.voice.session import VoiceSession

__all__ = ["Call", "RealtimeRuntime"]

UNTAKEN_FRAMES_MAX = 500
"""The agent's sound that nobody has taken, ten seconds of 20 ms frames; beyond that the oldest goes."""


class _Ear:
    """Takes the agent's sound for whoever asks for it (`voice.player.Caller`)."""

    def __init__(self) -> None:
        self._sound: deque[bytes | None] = deque(maxlen=UNTAKEN_FRAMES_MAX)
        self._is_over = False
        self._changed = asyncio.Event()

    async def play(self, pcm: bytes) -> None:
        self._sound.append(pcm)
        self._changed.set()

    async def clear(self) -> None:
        self._sound.clear()
        self._sound.append(None)
        self._changed.set()

    def close(self) -> None:
        self._is_over = True
        self._changed.set()

    async def sound(self) -> AsyncIterator[bytes | None]:
        while True:
            while self._sound:
                yield self._sound.popleft()
            if self._is_over:
                return
            self._changed.clear()
            await self._changed.wait()


class Call:
    """A live session and whoever talks to it. Made by `RealtimeRuntime.call`."""

    def __init__(self, session: VoiceSession, plane: ControlPlane, ear: _Ear) -> None:
        self._session = session
        self._plane = plane
        self._ear = ear
        self._rest = b""

    @property
    def session_id(self) -> str:
        return self._session.session_id

    @property
    def run_id(self) -> str:
        """Where the journal has it."""
        return self._session.run_id

    async def hear(self, pcm: bytes) -> None:
        """Give the session what the user says, as it is said: mono int16 PCM at 24 kHz, pieces of any length.

        Raises:
            IllegalCommand: the session is over.
            GateOverflow, ProviderError: the provider does not take it now, or any more.
        """
        sound = self._rest + pcm
        whole_bytes = len(sound) // FRAME_BYTES * FRAME_BYTES
        self._rest = sound[whole_bytes:]
        for start in range(0, whole_bytes, FRAME_BYTES):
            await self._session.hear_audio(sound[start : start + FRAME_BYTES])

    async def type(self, text: str) -> str:
        """Give the session a turn that the user typed; returns the turn's id once it is durable.

        Raises:
            SessionClosed: the session is over.
            TooManyTurns: as many wait for the handler as may.
            ProviderError: the provider did not take it.
        """
        return await self._session.hear_text(text)

    async def end_turn(self) -> None:
        """The user let go of the button, in a session that is push to talk."""
        await self._session.inputs.end_turn()

    async def interrupt(self) -> None:
        """Stop what is being said."""
        await self._session.interrupt()

    def sound(self) -> AsyncIterator[bytes | None]:
        """What the agent says, in real time, until the session is over: mono int16 PCM at 24 kHz.

        None: the user cut in; throw away what was not played yet. What nobody takes for ten seconds is lost.
        """
        return self._ear.sound()

    async def records(self, *, after: int = 0) -> AsyncIterator[Record]:
        """The session's records, each once it is durable, until the session is over.

        Raises:
            JournalError: they cannot be read.
        """
        async for envelope in self._plane.journal.subscribe(self.run_id, after=after):
            record = decode(envelope)
            yield record
            if isinstance(record, SessionEnded):
                return

    async def content(self, ref: str) -> bytes:
        """What a record refers to: text as UTF-8, arguments and results as JSON.

        Raises:
            ContentGone: it was erased or has expired.
        """
        return await self._plane.content.get(ref)

    async def ended(self) -> CloseReason | None:
        """Wait until the session is over and recorded, and say why it ended."""
        await self._session.ended()
        return self._session.close_reason


class RealtimeRuntime:
    """Runs sessions of `agents` in this process; an asynchronous context manager.

    Args:
        settings: Where the journal is, keys of providers and so on; by default those of the environment.
    """

    def __init__(self, agents: Sequence[Agent] = (), *, settings: Settings | None = None) -> None:
        self._agents = tuple(agents)
        self._settings = settings
        self._stack = AsyncExitStack()
        self._plane: ControlPlane | None = None

    async def __aenter__(self) -> Self:
        """Open the journal and what else a plane has.

        Raises:
            DataDirectoryInUse, DataDirectoryUnusable: see `open_control_plane`.
        """
        opened = open_control_plane(self._agents, settings=self._settings)
        self._plane = await self._stack.enter_async_context(opened)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up on what is live, and write everything down."""
        self._plane = None
        await self._stack.aclose()

    @asynccontextmanager
    async def call(
        self,
        target: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        model: str | None = None,
        voice: str | None = None,
    ) -> AsyncGenerator[Call]:
        """Start a session and connect it; it is closed at the end of the block, if it is not over by then.

        Raises:
            NotFound: `target` is no session of these agents.
            IllegalCommand: its sound does not go through this process (`transport="webrtc"`).
            Busy: as many sessions are live as may be, or the runtime is about to stop.
            ProviderUnavailable, ProviderError: the provider is not to be had.
        """
        plane = self._require_open()
        session = await plane.sessions.start(
            target, StartRequest(metadata=metadata, model=model, voice=voice)
        )
        ear = _Ear()
        try:
            if not session.spec.carries_audio:
                raise IllegalCommand(
                    f"{target} has transport=webrtc, whose sound goes from a browser to the provider; "
                    "transport=websocket or audio_turns works here"
                )
            await session.connect(caller=ear)
            watching = asyncio.create_task(_close_when_over(session, ear), name=f"ear {session.session_id}")
            try:
                yield Call(session, plane, ear)
            finally:
                watching.cancel()
        finally:
            await session.close(CloseReason.NORMAL)
            await session.ended()
            ear.close()

    async def execute(self, target: str, **arguments: Any) -> Any:
        """Run a reasoner of these agents, journaled as any execution, and return what it returns.

        Raises:
            ExecutionFailed: it did not succeed; says why, as a code.
        """
        request = ExecutionRequest(target=target, arguments=arguments)
        return await self._require_open().executions.execute(request)

    async def drain(self, max_s: float) -> bool:
        """Begin nothing new, and wait for what is live to end, for at most `max_s`. Says whether it did."""
        return await self._require_open().draining.drain(max_s=max_s, tell=lambda _: None)

    def _require_open(self) -> ControlPlane:
        if self._plane is None:
            raise IllegalCommand("the runtime is not open: use it as `async with RealtimeRuntime(…)`")
        return self._plane


async def _close_when_over(session: VoiceSession, ear: _Ear) -> None:
    await session.ended()
    ear.close()
