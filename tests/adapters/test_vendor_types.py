"""Every event the adapter can send, judged by the vendor: each field known, each value of its type."""

from dataclasses import replace

import pytest
from openai.types.realtime import RealtimeClientEvent
from pydantic import TypeAdapter, ValidationError

from agentfield_adapters.openai import client_events as client
from agentfield_adapters.openai import replay, requests
from agentfield_adapters.openai.dialect import AZURE, LOCAL, OPENAI, Dialect
from agentfield_adapters.openai.session_object import session_object
from agentfield_rt.frames import ImageFrame, SpeechFrame, TextFrame, ToolResultFrame
from agentfield_rt.items import AssistantItem, NoteItem, ToolCallItem, ToolOutputItem, UserItem
from agentfield_rt.ports import AudioFormat, SessionConfig
from agentfield_rt.turn_detection import SemanticVad, ServerVad
from tests.adapters.websocket_line import REQUEST
from tests.local_provider.vendor_types import unknown_fields

_events: TypeAdapter[object] = TypeAdapter(RealtimeClientEvent)

SERVER_VAD: ServerVad = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 320,
    "interrupt_response": False,
}
SEMANTIC_VAD: SemanticVad = {"type": "semantic_vad", "eagerness": "high"}
FULL = REQUEST.config

CONFIGS = {
    "full": FULL,
    "nothing said": SessionConfig(),
    "server_vad": replace(FULL, turn_detection=SERVER_VAD),
    "semantic_vad": replace(FULL, turn_detection=SEMANTIC_VAD, create_response=True),
    "push to talk": replace(FULL, turn_detection=None),
    "text only": replace(FULL, modalities=("text",)),
    "G.711 µ-law": replace(FULL, input_format=AudioFormat.G711_ULAW, output_format=AudioFormat.G711_ULAW),
    "G.711 A-law": replace(FULL, input_format=AudioFormat.G711_ALAW, output_format=AudioFormat.G711_ALAW),
}
EVENTS: dict[str, client.ClientEvent] = {
    "append": client.AudioAppend(audio=bytes(960)),
    "commit": client.AudioCommit(event_id="e"),
    "typed": requests.typed_turn(TextFrame("f", "hello"), "e"),
    "picture": requests.picture(ImageFrame("f", b"\x89PNG\r\n\x1a\n", "image/png", detail="auto"), "e"),
    "picture as the provider likes": requests.picture(ImageFrame("f", b"\xff\xd8\xff", "image/jpeg"), "e"),
    "tool output": requests.tool_output(ToolResultFrame("f", "call_1", "{}"), "e"),
    **{
        f"told again: {type(item).__name__}": replay.item_event(item, "e")
        for item in (
            UserItem("i", "hello"),
            AssistantItem("i", "hello"),
            ToolCallItem("i", "call_1", "look_up", "{}"),
            ToolOutputItem("i", "call_1", "{}"),
            NoteItem("i", "The line was lost."),
        )
    },
    "no id": requests.without_id(requests.typed_turn(TextFrame("f", "hello"), "e")),
    "truncate": client.ItemTruncate(event_id="e", item_id="i", content_index=1, audio_end_ms=20),
    "delete": client.ItemDelete(event_id="e", item_id="i"),
    "say": requests.speech(SpeechFrame("f", "u", text="hello"), "e"),
    "reply": requests.speech(SpeechFrame("f", "u", instructions="Greet."), "e"),
    "answer": requests.speech(SpeechFrame("f", "u"), "e"),
    "go on": requests.going_on("e"),
    "cancel": client.ResponseCancel(event_id="e", response_id="r"),
    "cancel whatever runs": client.ResponseCancel(event_id="e"),
    "clear": client.OutputAudioClear(event_id="e"),
}


def judged(event: client.ClientEvent) -> None:
    """Take it as the vendor does, which fills nothing in and passes nothing over."""
    sent = client.encode(event)
    parsed = _events.validate_json(sent, strict=True)
    assert not list(unknown_fields(parsed)), event


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_the_vendor_knows_every_event(event: client.ClientEvent) -> None:
    judged(event)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("dialect", [OPENAI, AZURE, LOCAL], ids=["openai", "azure", "local"])
def test_the_vendor_knows_every_session_object(config: SessionConfig, dialect: Dialect) -> None:
    for carries_audio in (True, False):
        if carries_audio or config.input_format is AudioFormat.PCM16:
            session = session_object(config, dialect, carries_audio=carries_audio)
            judged(client.SessionUpdate(event_id="e", session=session))


def test_no_event_goes_unjudged() -> None:
    kinds = {type(event) for event in EVENTS.values()} | {client.SessionUpdate}
    assert kinds == set(client.ClientEvent.__subclasses__())
    items = {type(event.item) for event in EVENTS.values() if isinstance(event, client.ItemCreate)}
    assert items == set(client.NewItem.__args__)


def test_the_judge_is_strict() -> None:
    with pytest.raises(AssertionError):
        judged(client.SessionUpdate(session={"type": "realtime", "surprise": 1}))
    with pytest.raises(ValidationError):
        judged(client.ItemTruncate(item_id="i", audio_end_ms="20"))  # type: ignore[arg-type]
