"""The recording of a call, on the event loop: notes what is heard, has it mixed in a thread, keeps it.

A call never waits for its recording: a frame costs an append to a list. A recording that cannot keep up is
given up, and the journal says so.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from agentfield_journal import ContentStore, JournalError
from agentfield_journal.envelope import Retention
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import Reason
from agentfield_rt.frames import SAMPLE_RATE_HZ, AudioFrame, OutputAudio
from agentfield_rt.ports import EncoderFactory
from agentfield_rt.recording import desk
from agentfield_rt.recording.desk import Desk, Event, Mixed, NotTheSame, Side, TooMuch

log = logging.getLogger(__name__)

PERIOD_S = 1.0
"""How often what was heard is mixed: few wake-ups, little memory."""

SEGMENT_SAMPLES = 10 * SAMPLE_RATE_HZ
"""A piece is kept when it is so long: a crash loses no more, and it is a record in ten seconds."""

NOTED_BYTES_MAX = 16 << 20
"""Audio that may wait to be mixed: more than two minutes of both sides."""

MIX_MAX_S = 30.0
"""How long one mix may take, its wait for a thread included."""

CLOSE_MAX_S = 10.0
"""How long the end of a session waits for the last piece."""

THREADS_MAX = 2
"""Mixing and encoding takes about 5 ms of a core for a second of a call."""

_WINDOWS = (records.InputSent, records.InputSendFailed, records.InputSendUnknown)


class Recordings:
    """Makes the recordings of a process.

    Args:
        make_encoder: Makes one for each call.
        content: Keeps the pieces, sealed; they are never on a disk in the clear.
    """

    def __init__(self, make_encoder: EncoderFactory, content: ContentStore) -> None:
        self.make_encoder = make_encoder
        self.content = content
        self.threads = ThreadPoolExecutor(THREADS_MAX, "recording")

    def of(self, session_id: str, record: Callable[[Record], None]) -> "Recording":
        """The recording of a session; `record` writes a record of it, or keeps it as owed."""
        return Recording(self, session_id, record)

    def close(self) -> None:
        """Let the threads go; nothing is recorded any more."""
        self.threads.shutdown(wait=False, cancel_futures=True)


class Recording:
    """The recording of one session. Satisfies `controller.tap.MediaTap`.

    Nothing here raises into the call, except `begin`.
    """

    def __init__(self, recordings: Recordings, session_id: str, record: Callable[[Record], None]) -> None:
        self._recordings = recordings
        self._session_id = session_id
        self._record = record
        self._id = f"rec_{secrets.token_hex(8)}"
        self._events: list[Event] = []
        self._noted_bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._is_noting = False
        self._is_settled = False
        self._began_at_s = 0.0
        self._unstored = bytearray()
        self._stored_samples = 0
        self._segments = 0

    def begin(self, *, plays: bool) -> None:
        """Write down that the call is recorded from now on; `plays`: somebody is handed what the agent says.

        Raises:
            JournalError: it was not taken; nothing is recorded.
        """
        encoder = self._recordings.make_encoder()
        self._record(records.RecordingStarted(op_id=self._id, format=encoder.format))
        self._began_at_s = _now_s()
        self._is_noting = True
        writing = self._write(Desk(encoder, self._began_at_s, plays=plays))
        self._task = asyncio.create_task(writing, name=f"recording {self._session_id}")

    async def close(self) -> None:
        """Keep what is left and write down what became of the recording. Idempotent."""
        if self._task is None:
            return
        self._closing.set()
        if not self._task.done():
            await asyncio.wait([self._task], timeout=CLOSE_MAX_S)
        if not self._task.done():
            self._give_up(Reason.TIMEOUT)
            self._task.cancel()
            await asyncio.wait([self._task])
        self._give_up(Reason.CANCELLED)  # unless it has its outcome: the event loop ends

    # What happens in the call.

    def spoke(self, frame: AudioFrame) -> None:
        """The caller was heard."""
        self._note(desk.Spoke(_now_s(), frame), len(frame.pcm))

    def sent(self, frame: AudioFrame) -> None:
        self._note(desk.Sent(frame), 0)

    def received(self, audio: OutputAudio) -> None:
        self._note(desk.Came(audio), len(audio.pcm))

    def recorded(self, appended: Sequence[Record]) -> None:
        for record in appended:
            if isinstance(record, _WINDOWS) and record.window is not None:
                self._note(desk.WindowEnded(Side.CALLER), 0)
            elif isinstance(record, records.OutputReceived) and record.audio is not None:
                self._note(desk.WindowEnded(Side.AGENT), 0)

    def began(self, response_id: str) -> None:
        """The caller begins to hear this response."""
        self._note(desk.Began(response_id), 0)

    def played(self, size_bytes: int) -> None:
        """The caller was handed the next so many bytes of it."""
        self._note(desk.Played(_now_s(), size_bytes), 0)

    def cleared(self) -> None:
        """The caller drops what has not sounded yet."""
        self._note(desk.Cleared(_now_s()), 0)

    def _note(self, event: Event, size_bytes: int) -> None:
        if not self._is_noting:
            return
        self._events.append(event)
        self._noted_bytes += size_bytes
        if self._noted_bytes > NOTED_BYTES_MAX:
            self._give_up(Reason.OVERFLOW)

    # What becomes of it.

    async def _write(self, mixing: Desk) -> None:
        try:
            ends = False
            while not ends:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PERIOD_S):
                        await self._closing.wait()
                ends = self._closing.is_set()
                if not self._is_noting:
                    return
                mixed = await self._mix(mixing, ends=ends)
                await self._keep(mixed, ends=ends)
        except TimeoutError:
            self._give_up(Reason.TIMEOUT)
        except JournalError:
            self._give_up(Reason.UNAVAILABLE)
        except TooMuch:
            self._give_up(Reason.OVERFLOW)
        except Exception as error:  # the encoder's own, or a frame that is not what came
            name = "" if isinstance(error, NotTheSame) else f" ({type(error).__name__})"
            log.error("the recording of session %s went wrong%s", self._session_id, name)
            self._give_up(Reason.INTERNAL)

    async def _mix(self, mixing: Desk, *, ends: bool) -> Mixed:
        events, self._events, self._noted_bytes = self._events, [], 0
        now_s = _now_s()
        async with asyncio.timeout(MIX_MAX_S):
            return await asyncio.get_running_loop().run_in_executor(
                self._recordings.threads, lambda: mixing.mix(events, now_s, ends=ends)
            )

    async def _keep(self, mixed: Mixed, *, ends: bool) -> None:
        if self._is_settled:
            return
        self._unstored += mixed.data
        if ends or mixed.samples - self._stored_samples >= SEGMENT_SAMPLES:
            await self._store(mixed)
        if ends and not self._is_settled:
            self._settle(
                records.RecordingStored(
                    op_id=self._id,
                    segments=self._segments,
                    samples=mixed.samples,
                    digest=mixed.digest,
                    caller=mixed.caller,
                    agent=mixed.agent,
                )
            )

    async def _store(self, mixed: Mixed) -> None:
        content = self._recordings.content
        ref = content.put(bytes(self._unstored), subject=self._session_id, retention=Retention.SESSION)
        await content.durable(ref)  # a record never names a piece that a crash could take back
        if self._is_settled:
            return
        self._record(
            records.RecordingSegmentStored(
                recording_id=self._id,
                number=self._segments + 1,
                content_ref=ref,
                samples=mixed.samples,
                digest=mixed.digest,
                caller=mixed.caller,
                agent=mixed.agent,
            )
        )
        self._segments += 1
        self._stored_samples = mixed.samples
        self._unstored.clear()

    def _give_up(self, reason: Reason) -> None:
        """The recording ends here, the call goes on."""
        if not self._is_settled:
            log.warning("the recording of session %s was given up: %s", self._session_id, reason)
            self._settle(records.RecordingFailed(op_id=self._id, reason=reason))

    def _settle(self, outcome: Record) -> None:
        self._is_settled = True
        self._is_noting = False
        self._events.clear()
        with contextlib.suppress(JournalError):  # it is owed, and whoever ends the session is told
            self._record(outcome)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
