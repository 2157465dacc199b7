"""The property of a recording bites: each of these slips of the hand turns it red."""

# pyright: reportPrivateUsage=false

import pytest

from agentfield_rt.core import records
from agentfield_rt.frames import AudioFrame
from agentfield_rt.recording import desk, recording
from agentfield_rt.recording.desk import Desk
from agentfield_rt.recording.recording import Recording
from agentfield_rt.recording.source import Source
from agentfield_rt.recording.track import Track
from agentfield_rt.testing import run
from tests.media.test_recording import STEPS, Step, a_recorded_call
from tests.planting import Bug, Bugs, nothing, property_search


def _is_a_recording(steps: list[Step]) -> None:
    run(a_recorded_call(steps), threads="inline")


PLANTED = Bugs(seen_by=property_search(_is_a_recording, STEPS))
planted = PLANTED.planted


@planted("a window that did not end well does not count")
def only_good_windows(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recording, "_WINDOWS", (records.InputSent,))


@planted("a window goes on in the next one")
def windows_run_together(patch: pytest.MonkeyPatch) -> None:
    original = Source._begin

    def begin(self: Source) -> None:
        if not hasattr(self, "_digest"):
            original(self)

    patch.setattr(Source, "_begin", begin)


@planted("what waited behind the gate is not digested")
def digested_when_spoken(patch: pytest.MonkeyPatch) -> None:
    original = Recording.spoke

    def spoke(self: Recording, heard: AudioFrame) -> None:
        original(self, heard)
        self._note(desk.Sent(heard), 0)

    patch.setattr(Recording, "spoke", spoke)
    patch.setattr(Recording, "sent", nothing)


@planted("a frame that failed is digested as if it had been sent")
def failed_frames_count(patch: pytest.MonkeyPatch) -> None:
    def spoken(self: Desk, sent: AudioFrame) -> bytes:
        pcm = b""
        while (spoken := self._unsent.popleft()).frame_id != sent.frame_id:
            pcm += spoken.pcm
        return pcm + spoken.pcm

    patch.setattr(Desk, "_spoken", spoken)


@planted("what was cut off is heard all the same")
def cuts_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Recording, "cleared", nothing)


@planted("what came before a cut is played after it", seed=8)
def plays_what_was_cut(patch: pytest.MonkeyPatch) -> None:
    original = Desk._take

    def take(self: Desk, event: desk.Event) -> None:
        kept, kept_bytes = dict(self._unheard), self._unheard_bytes
        original(self, event)
        if isinstance(event, desk.Cleared):
            self._unheard, self._unheard_bytes = kept, kept_bytes

    patch.setattr(Desk, "_take", take)


@planted("late frames are written over early ones")
def writes_over(patch: pytest.MonkeyPatch) -> None:
    def place(self: Track, at: int, pcm: bytes) -> None:
        self.end = max(at, self._taken)
        self._pieces.append((self.end, pcm))
        self.end += len(pcm) // 2

    patch.setattr(Track, "place", place)


@planted("the last second is lost")
def forgets_the_end(patch: pytest.MonkeyPatch) -> None:
    original = Desk.mix

    def mix(self: Desk, events: list[desk.Event], now_s: float, *, ends: bool) -> desk.Mixed:
        return original(self, [] if ends else events, now_s, ends=ends)

    patch.setattr(Desk, "mix", mix)


@planted("the answer is recorded when it comes, not when it is heard")
def plays_what_came(patch: pytest.MonkeyPatch) -> None:
    original = Desk._take

    def take(self: Desk, event: desk.Event) -> None:
        original(self, event)
        if isinstance(event, desk.Came):
            self._agent.place(self._samples, event.audio.pcm)

    patch.setattr(Desk, "_take", take)


@pytest.mark.parametrize("bug", PLANTED, ids=str)
def test_a_planted_bug_of_a_recording_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.must_be_noticed(monkeypatch, AssertionError, IndexError)
