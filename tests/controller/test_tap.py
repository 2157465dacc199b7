"""Whoever taps a session is told of every frame that a window counts, and then of the window's record."""

from collections.abc import Sequence
from hashlib import sha256

from agentfield_adapters.scripted import ScriptedAdapter, silent
from agentfield_journal import StoreJournal
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.controller import BoundarySettings, RealtimeSessionController
from agentfield_rt.controller.window import Windows
from agentfield_rt.core import records
from agentfield_rt.core.records import Record, WindowTally
from agentfield_rt.errors import ConnectionLost, Reason
from agentfield_rt.frames import AudioFrame, Notice, OutputAudio, TextFrame
from agentfield_rt.run import Run
from agentfield_rt.testing import in_virtual_time, time_passes

SENT = (records.InputSent, records.InputSendFailed, records.InputSendUnknown)


class Tap:
    """Digests what it is told of, and compares at each window."""

    def __init__(self) -> None:
        self.sent_frames: list[bytes] = []
        self.came_frames: list[bytes] = []
        self.windows = 0

    def sent(self, frame: AudioFrame) -> None:
        self.sent_frames.append(frame.pcm)

    def received(self, audio: OutputAudio) -> None:
        self.came_frames.append(audio.pcm)

    def recorded(self, appended: Sequence[Record]) -> None:
        for record in appended:
            if isinstance(record, SENT) and record.window is not None:
                self._compare(record.window, self.sent_frames)
            elif isinstance(record, records.OutputReceived) and record.audio is not None:
                self._compare(record.audio, self.came_frames)

    def _compare(self, window: WindowTally, frames: list[bytes]) -> None:
        assert len(frames) == window.frames
        assert sha256(b"".join(frames)).digest() == window.digest
        frames.clear()
        self.windows += 1


def pcm(number: int) -> bytes:
    return number.to_bytes(2, "little") * 480


@in_virtual_time
async def test_a_tap_hears_what_each_window_counts_before_it_is_recorded() -> None:
    adapter, tap = ScriptedAdapter(answer=silent), Tap()
    settings = BoundarySettings(windows=Windows(frames_max=8, events_max=8))
    journal = StoreJournal(MemoryStore())
    run = await Run.open(journal, "run_1")
    controller = RealtimeSessionController(adapter, run, session_id="s", settings=settings)
    controller.watch(tap)
    await controller.connect()
    for number in range(20):
        await controller.send(AudioFrame(f"f{number}", pcm(number)))
        adapter.give(OutputAudio("r", "i", pcm(100 + number)), Notice("a notice is no audio"))
        assert await controller.receive(demand=2)
    await controller.send(TextFrame("t", "hello"))
    adapter.drop(ConnectionLost("gone"))
    await time_passes(0)
    await controller.restart(Reason.CONNECTION_LOST)
    await controller.send(AudioFrame("last", pcm(99)))
    await controller.close()
    await run.release()
    await journal.close()
    assert tap.windows >= 8
    assert (tap.sent_frames, tap.came_frames) == ([], [])
