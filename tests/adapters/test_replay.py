"""What a lost conversation becomes on a new connection of OpenAI's protocol, as a strict provider has it."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfield_adapters.local.running import LocalProvider
from agentfield_adapters.openai import local_websocket_adapter
from agentfield_adapters.openai.held_audio import KEPT_MAX_MS, UNNOTICED_MS, HeldAudio
from agentfield_rt.errors import CloseReason, ProviderError
from agentfield_rt.frames import (
    AudioFrame,
    InputRejected,
    InputTranscript,
    ProviderEvent,
    SpeechFrame,
    SpeechStarted,
    SpeechStopped,
    TurnEndFrame,
)
from agentfield_rt.items import (
    AssistantItem,
    ConversationItem,
    History,
    NoteItem,
    ToolCallItem,
    ToolOutputItem,
    UserItem,
)
from agentfield_rt.ports import ConnectRequest, ProviderAdapter, ProviderSettings, SessionConfig

LISTENING = SessionConfig(
    turn_detection={"type": "server_vad", "silence_duration_ms": 320}, create_response=True
)
SAID = (
    UserItem("turn-1", "where is my order"),
    ToolCallItem("call_c1", "c1", "look_up", '{"order":1}'),
    ToolOutputItem("tool_c1", "c1", '"on its way"'),
    AssistantItem("utt-1", "It is on"),
    NoteItem("note-1", "The line is bad."),
)
LOUD = (b"\x00\x40" * 20 + b"\x00\xc0" * 20) * 12
KEYS = ("text", "call_id", "name", "arguments", "output")


def told(event: dict[str, Any]) -> tuple[object, ...]:
    """An item as the wire has it, without what only names it."""
    item: dict[str, Any] = event["item"]
    part: dict[str, Any] = item.get("content", [{}])[0]
    words = (item.get(key) or part.get(key) for key in KEYS)
    return (item.get("role"), item["type"], part.get("type"), *words)


@pytest.mark.asyncio
async def test_a_new_connection_is_told_all_items_quietly_and_in_order(af_provider: LocalProvider) -> None:
    adapter = local_websocket_adapter(ProviderSettings(base_url=af_provider.base_url(name="told")))
    await adapter.connect(ConnectRequest(session_id="s1", config=LISTENING))
    connection = await adapter.restart(
        ConnectRequest(session_id="s1", config=LISTENING, history=History(items=SAID))
    )
    assert connection.restored == len(SAID)
    await adapter.close(CloseReason.NORMAL)
    received = af_provider.log(what="received", setup="told")
    sent = [entry for entry in received if entry["connection"] == received[-1]["connection"]]
    assert [entry["type"] for entry in sent][-7:] == [
        "session.update",
        *["conversation.item.create"] * 5,
        "session.update",
    ]
    answering = [
        entry["event"]["session"]["audio"]["input"]["turn_detection"]["create_response"]
        for entry in sent
        if entry["type"] == "session.update"
    ]
    assert answering == [False, True], "it must answer nothing of what it is told"
    assert [told(entry["event"]) for entry in sent if entry["type"] == "conversation.item.create"] == [
        ("user", "message", "input_text", "where is my order", None, None, None, None),
        (None, "function_call", None, None, "c1", "look_up", '{"order":1}', None),
        (None, "function_call_output", None, None, "c1", None, None, '"on its way"'),
        ("assistant", "message", "output_text", "It is on", None, None, None, None),
        ("system", "message", "input_text", "The line is bad.", None, None, None, None),
    ]


@pytest.mark.asyncio
async def test_an_item_that_is_there_already_counts_and_one_that_is_refused_does_not(
    af_provider: LocalProvider,
) -> None:
    items: tuple[ConversationItem, ...] = (
        UserItem("turn-1", "hello"),
        UserItem("turn-1", "hello"),
        ToolOutputItem("tool_c9", "c9", "{}"),
    )
    adapter = local_websocket_adapter(ProviderSettings(base_url=af_provider.base_url()))
    await adapter.connect(ConnectRequest(session_id="s1", config=SessionConfig()))
    request = ConnectRequest(session_id="s1", config=SessionConfig(), history=History(items=items))
    assert (await adapter.restart(request)).restored == 2
    await adapter.send(SpeechFrame("f1", "u1", "fine"))
    await adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
@pytest.mark.parametrize("at", [1, 2, 3, 6, 9])
async def test_a_connection_that_breaks_while_it_is_told_is_none(af_provider: LocalProvider, at: int) -> None:
    url = af_provider.base_url(f"drop_at={at},after=conversation.item.create")
    adapter = local_websocket_adapter(ProviderSettings(base_url=url))
    await adapter.connect(ConnectRequest(session_id="s1", config=SessionConfig()))
    request = ConnectRequest(session_id="s1", config=SessionConfig(), history=History(items=SAID))
    with pytest.raises(ProviderError) as lost:
        await adapter.restart(request)
    assert lost.value.retryable
    assert lost.value.not_done, "a session that was never usable has had no effect"
    assert (await adapter.restart(request)).restored == len(SAID)
    await adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
async def test_what_the_user_was_saying_is_heard_again_by_the_new_connection(
    af_provider: LocalProvider,
) -> None:
    """Half of a turn reached the connection that is lost; the next one hears all of it, and only once."""
    af_provider.set_scenario("{senses: synthetic, pace: instant, transcripts: [where is my order]}")
    adapter = local_websocket_adapter(ProviderSettings(base_url=af_provider.base_url()))
    config = SessionConfig(turn_detection={"type": "server_vad", "silence_duration_ms": 320})
    await adapter.connect(ConnectRequest(session_id="s1", config=config))
    for number in range(40):
        await adapter.send(AudioFrame(f"a{number}", LOUD))
    await _until(adapter, SpeechStarted)
    await adapter.restart(ConnectRequest(session_id="s1", config=config, history=History()))
    for number in range(40):
        await adapter.send(AudioFrame(f"b{number}", bytes(960)))
    (said,) = [
        e for e in await _until(adapter, InputTranscript) if isinstance(e, InputTranscript) and e.final
    ]
    assert said.text == "where is my order"
    await adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
async def test_a_turn_that_was_ended_by_hand_ends_on_the_new_connection_too(
    af_provider: LocalProvider,
) -> None:
    """The button was let go and its words had not come when the connection broke: nobody presses it again."""
    af_provider.set_scenario("{senses: synthetic, pace: instant, transcripts: [where is my order]}")
    adapter = local_websocket_adapter(ProviderSettings(base_url=af_provider.base_url(name="by-hand")))
    config = SessionConfig()
    await adapter.connect(ConnectRequest(session_id="s1", config=config))
    for number in range(40):
        await adapter.send(AudioFrame(f"a{number}", LOUD))
    await adapter.send(TurnEndFrame("end_1"))
    await adapter.restart(ConnectRequest(session_id="s1", config=config, history=History()))
    (said,) = [
        e for e in await _until(adapter, InputTranscript) if isinstance(e, InputTranscript) and e.final
    ]
    assert said.text == "where is my order"
    await adapter.close(CloseReason.NORMAL)
    received = af_provider.log(what="received", setup="by-hand")
    sent = [each["type"] for each in received if each["connection"] == received[-1]["connection"]]
    assert sent.count("input_audio_buffer.commit") == 1


async def _until(adapter: ProviderAdapter, kind: type[ProviderEvent]) -> list[ProviderEvent]:
    events: list[ProviderEvent] = []
    async with asyncio.timeout(10):
        while not any(isinstance(event, kind) and getattr(event, "final", True) for event in events):
            events += await adapter.receive(demand=100)
    return events


FRAME_MS = 20


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(["audio", "audio", "pause", "starts", "stops", "understood", "rejected"])),
    st.integers(0, 60),
)
def test_held_is_what_nobody_has_understood_and_nothing_else(acts: list[str], more: int) -> None:
    """Whatever happens, what is heard again is one piece, up to now, from no later than it must begin."""
    held, sent, item = HeldAudio(), 0, 0
    speaks_from: int | None = None
    stopped_at: int | None = None
    understood = 0
    for act in [*acts, *["audio"] * more]:
        match act:
            case "audio" | "pause":
                for _ in range(1 if act == "audio" else 600):
                    sent += 1
                    held.add(sent.to_bytes(4, "little") * 240)
            case "starts" if speaks_from is None:
                item += 1
                speaks_from = sent
                held.take((SpeechStarted(str(item)),))
            case "stops" if speaks_from is not None and stopped_at is None:
                stopped_at = sent
                held.take((SpeechStopped(str(item)),))
            case "understood" | "rejected" if speaks_from is not None:
                event = InputTranscript(str(item), "hm", final=True)
                held.take((event if act == "understood" else InputRejected(str(item)),))
                understood = max(understood, sent if stopped_at is None else stopped_at)
                speaks_from = stopped_at = None
            case _:
                pass
    pcm = b"".join(piece for piece in held.again() if piece is not None)
    again = [int.from_bytes(pcm[at : at + 4], "little") for at in range(0, len(pcm), 960)]
    assert again == list(range(sent - len(again) + 1, sent + 1)), "a frame is missing, or out of order"
    assert not again or again[0] > understood, "what is understood would be said twice"
    needed = sent - UNNOTICED_MS // FRAME_MS if speaks_from is None else min(speaks_from, sent)
    needed = max(needed, understood, sent - KEPT_MAX_MS // FRAME_MS)
    assert sent - len(again) <= needed, "something that nobody has understood is lost"
    assert len(again) * FRAME_MS <= KEPT_MAX_MS


def test_where_nobody_detects_turns_each_is_heard_again_with_its_end() -> None:
    held = HeldAudio()
    held.add(b"a" * 960)
    held.end_turn()
    held.add(b"b" * 960)
    assert list(held.again()) == [b"a" * 960, None, b"b" * 960]
    held.take((InputTranscript("item", "hello", final=True),))
    assert list(held.again()) == [b"b" * 960]


def test_a_turn_that_was_too_short_is_part_of_the_next_one() -> None:
    held = HeldAudio()
    held.add(b"a" * 960)
    held.end_turn()
    held.take((InputRejected("end_1", is_turn=False),))
    held.add(b"b" * 960)
    held.end_turn()
    assert list(held.again()) == [b"a" * 960 + b"b" * 960, None]
