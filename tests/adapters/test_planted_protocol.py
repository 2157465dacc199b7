"""The proofs of the websocket adapter's protocol bite: each slip of the hand turns one of them red."""

# A bug is planted inside the classes, so this file reaches where no other may.
# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false, reportUnknownArgumentType=false

from typing import Any

import pytest

from agentfield_adapters.malformed import Patience
from agentfield_adapters.openai import client_events as client
from agentfield_adapters.openai import reading, reports
from agentfield_adapters.openai.conversation import Conversation
from agentfield_adapters.openai.g711_audio import G711Decoder
from agentfield_adapters.openai.received_audio import Cut, ReceivedAudio
from agentfield_adapters.openai.response_slot import ResponseSlot
from agentfield_adapters.openai.responses import Response
from agentfield_adapters.openai.wire_audio import PcmDecoder
from agentfield_rt.errors import ConnectionLost
from agentfield_rt.frames import ProviderEvent, TurnEndFrame, UsageReported
from tests.adapters import test_conversation_reports, test_received_audio, test_wire_audio
from tests.planting import Bug, Bugs

PLANTED = Bugs()
planted = PLANTED.planted


@planted(
    "what was heard is counted item by item",
    seen_by=test_received_audio.test_what_stays_of_all_items_is_what_was_heard,
)
def item_by_item(patch: pytest.MonkeyPatch) -> None:
    original = ReceivedAudio.cuts

    def cuts(self: ReceivedAudio, heard_ms: int) -> list[Cut]:
        self._runs.sort(key=lambda run: (run.item_id, run.content_index))
        return original(self, heard_ms)

    patch.setattr(ReceivedAudio, "cuts", cuts)


@planted(
    "a cut forgets what was cut before",
    seen_by=test_received_audio.test_what_stays_of_all_items_is_what_was_heard,
)
def cut_forgotten(patch: pytest.MonkeyPatch) -> None:
    original = ReceivedAudio.cuts

    def cuts(self: ReceivedAudio, heard_ms: int) -> list[Cut]:
        self._kept_ms.clear()
        return original(self, heard_ms)

    patch.setattr(ReceivedAudio, "cuts", cuts)


@planted("half a sample is dropped", seen_by=test_wire_audio.test_pcm_in_any_pieces_is_the_same_samples)
def half_dropped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PcmDecoder, "decoded", lambda self, data: data[: len(data) & ~1])


@planted(
    "the filter keeps the end of an answer",
    seen_by=test_wire_audio.test_g711_in_any_pieces_is_the_same_sound_and_as_long,
)
def end_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(G711Decoder, "rest", lambda self: b"")


@planted(
    "each piece is a sound of its own",
    seen_by=test_wire_audio.test_g711_in_any_pieces_is_the_same_sound_and_as_long,
)
def pieces_alone(patch: pytest.MonkeyPatch) -> None:
    original = G711Decoder.decoded

    def decoded(self: G711Decoder, data: bytes) -> bytes:
        sound = original(self, data) + self.rest()
        self._resampler = type(self._resampler)(8_000, 24_000)
        return sound

    patch.setattr(G711Decoder, "decoded", decoded)


@planted(
    "malformed events add up for ever",
    seen_by=test_wire_audio.test_ten_malformed_events_within_a_minute_are_the_end_and_nine_are_not,
)
def no_window(patch: pytest.MonkeyPatch) -> None:
    original = Patience.wear

    def wear(self: Patience, now_s: float) -> ConnectionLost | None:
        return original(self, 0.0)

    patch.setattr(Patience, "wear", wear)


@planted(
    "malformed events are never too many",
    seen_by=test_wire_audio.test_ten_malformed_events_within_a_minute_are_the_end_and_nine_are_not,
)
def endless_patience(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Patience, "wear", lambda self, now_s: None)


@planted(
    "costs are told after the end",
    seen_by=test_conversation_reports.test_what_a_response_cost_is_told_once_and_before_its_end,
)
def costs_late(patch: pytest.MonkeyPatch) -> None:
    original = Conversation.react

    def react(self: Conversation, event: Any) -> list[ProviderEvent]:
        return original(self, event)[::-1]

    patch.setattr(Conversation, "react", react)


@planted(
    "costs are told once more with a repeated end",
    seen_by=test_conversation_reports.test_what_a_response_cost_is_told_once_and_before_its_end,
)
def costs_twice(patch: pytest.MonkeyPatch) -> None:
    original = Conversation._done

    def done(self: Conversation, event: Any, info: Any) -> list[ProviderEvent]:
        told = original(self, event, info)
        usage = reports.usage(info.usage)
        is_told = any(isinstance(one, UsageReported) for one in told)
        return told if usage is None or is_told else [*told, UsageReported(usage, info.id)]

    patch.setattr(Conversation, "_done", done)


@planted(
    "a handler's turn is answered by the model as well",
    seen_by=test_conversation_reports.test_a_turn_that_ends_by_hand_is_answered_by_one_of_two,
)
def answered_by_both(patch: pytest.MonkeyPatch) -> None:
    original = Conversation.submit

    def submit(self: Conversation, frame: Any) -> Any:
        self._answers = self._answers or isinstance(frame, TurnEndFrame)
        return original(self, frame)

    patch.setattr(Conversation, "submit", submit)


@planted(
    "the model is asked before it has the turn",
    seen_by=test_conversation_reports.test_a_turn_that_ends_by_hand_is_answered_by_one_of_two,
)
def asked_too_soon(patch: pytest.MonkeyPatch) -> None:
    original = Conversation.submit

    def submit(self: Conversation, frame: Any) -> client.ItemCreate | client.AudioCommit | None:
        event = original(self, frame)
        return None if isinstance(event, client.AudioCommit) else event

    patch.setattr(Conversation, "submit", submit)


@planted(
    "whoever began is taken for the answer",
    seen_by=test_conversation_reports.test_without_metadata_each_answer_finds_its_request,
)
def any_answer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ResponseSlot, "asked", property(lambda self: None))


@planted(
    "an interrupted answer's last sound is handed out",
    seen_by=test_conversation_reports.test_nothing_of_an_interrupted_answer_is_handed_out,
)
def last_sound(patch: pytest.MonkeyPatch) -> None:
    def finish(self: Response) -> bytes:
        self.generating = False
        return b"" if self.decoder is None else self.decoder.rest()

    patch.setattr(Response, "finish", finish)


@planted(
    "strangers pass where the settings are strict",
    seen_by=test_conversation_reports.test_a_stranger_is_malformed_to_the_strict_only,
)
def strangers_pass(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reading, "NAMES", reading.NAMES | {"session.surprise"})


@pytest.mark.parametrize("bug", PLANTED, ids=str)
def test_a_planted_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.must_be_noticed(monkeypatch, AssertionError)
