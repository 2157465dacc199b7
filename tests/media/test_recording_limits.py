"""What the mixing desk of a recording keeps has an end, and what it is not sure of it does not record."""

import pytest

from agentfield_rt.frames import AudioFrame, OutputAudio
from agentfield_rt.recording import desk
from agentfield_rt.recording.desk import Desk, NotTheSame, TooMuch
from tests.media.recorded_call import KeepingEncoder


def test_a_caller_who_sends_an_hour_at_once_is_more_than_a_recording_keeps() -> None:
    mixing = Desk(KeepingEncoder(), 0.0)
    spoke = desk.Spoke(0.0, AudioFrame("f", bytes(2 * (desk.AHEAD_SAMPLES_MAX + 1))))
    with pytest.raises(TooMuch):
        mixing.mix([spoke], 0.0, ends=False)


def test_agent_audio_that_nobody_is_handed_is_kept_up_to_a_limit() -> None:
    mixing = Desk(KeepingEncoder(), 0.0)
    came = desk.Came(OutputAudio("r", "i", bytes(desk.UNHEARD_BYTES_MAX)))
    mixing.mix([came], 0.0, ends=False)
    with pytest.raises(TooMuch):
        mixing.mix([came], 0.0, ends=False)


@pytest.mark.parametrize(
    "events",
    [
        [desk.Sent(AudioFrame("never spoken", bytes(960)))],
        [desk.Began("r"), desk.Played(0.0, 960)],
        [desk.Came(OutputAudio("r", "i", bytes(958))), desk.Began("r"), desk.Played(0.0, 960)],
    ],
    ids=["sent and not spoken", "played and did not come", "more played than came"],
)
def test_audio_that_is_not_what_the_windows_hold_is_never_recorded(events: list[desk.Event]) -> None:
    with pytest.raises(NotTheSame):
        Desk(KeepingEncoder(), 0.0).mix(events, 0.0, ends=False)


def test_what_is_never_heard_is_forgotten_when_the_next_answer_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desk, "UNHEARD_BYTES_MAX", 20_000)
    mixing = Desk(KeepingEncoder(), 0.0)
    for number in range(20):
        response_id = f"r{number}"
        came = desk.Came(OutputAudio(response_id, "i", bytes(desk.UNHEARD_BYTES_MAX // 2)))
        mixing.mix([came, desk.Began(response_id)], 0.0, ends=False)
