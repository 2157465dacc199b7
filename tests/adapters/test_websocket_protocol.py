"""What openai/websocket says and hears beyond speech: pictures, turns by hand, telephone audio."""

import base64
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agentfield_adapters.media.g711 import A_LAW, MU_LAW, Companding
from agentfield_rt.frames import (
    IMAGE_BYTES_MAX,
    AudioFrame,
    ImageFrame,
    OutputAudio,
    ResponseEnded,
    TurnEndFrame,
)
from agentfield_rt.ports import AudioFormat
from tests.adapters import peer as wire
from tests.adapters.peer import Json, Peer, PeerSocket, both
from tests.adapters.websocket_line import REQUEST, Line, lined

PNG = b"\x89PNG\r\n\x1a\n" + bytes(9)
JPEG = b"\xff\xd8\xff" + bytes(9)


# What is sent


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("frame", "content"),
    [
        pytest.param(
            ImageFrame("f", PNG, "image/png"),
            {"image_url": "data:image/png;base64," + base64.b64encode(PNG).decode()},
            id="png",
        ),
        pytest.param(
            ImageFrame("f", JPEG, "image/jpeg", detail="low"),
            {"image_url": "data:image/jpeg;base64," + base64.b64encode(JPEG).decode(), "detail": "low"},
            id="jpeg, roughly",
        ),
    ],
)
async def test_a_picture_is_a_user_item_and_starts_no_answer(
    line: Line, frame: ImageFrame, content: Json
) -> None:
    await line.adapter.send(frame)
    item = (await line.socket.take("conversation.item.create"))["item"]
    assert (item["type"], item["role"]) == ("message", "user")
    assert item["content"] == [{"type": "input_image", **content}]
    await line.socket.takes_nothing()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"", "no image/png", id="empty"),
        pytest.param(JPEG, "no image/png", id="of another type"),
        pytest.param(PNG + bytes(IMAGE_BYTES_MAX), "at most 1048576 bytes", id="too large"),
    ],
)
def test_what_is_no_picture_is_refused_before_anything_is_sent(data: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ImageFrame("f", data, "image/png")


@pytest.mark.asyncio
async def test_the_end_of_a_turn_commits_what_was_said(line: Line) -> None:
    await line.adapter.send(AudioFrame("f1", bytes(960)))
    await line.adapter.send(TurnEndFrame("f2"))
    await line.socket.take("input_audio_buffer.append")
    await line.socket.take("input_audio_buffer.commit")
    await line.socket.takes_nothing()


@pytest.mark.asyncio
async def test_a_model_that_answers_by_itself_is_asked_when_a_turn_ends_by_hand(peer: Peer) -> None:
    config = replace(REQUEST.config, turn_detection=None, create_response=True)
    async with lined(peer, config) as (line, asked):
        assert asked["audio"]["input"]["turn_detection"] is None
        await line.adapter.send(TurnEndFrame("f"))
        await line.socket.take("input_audio_buffer.commit")
        create = await line.socket.take("response.create")
        assert "utterance_id" not in create["response"]["metadata"]


@pytest.mark.asyncio
@pytest.mark.parametrize("wanted", [True, False], ids=["unless told otherwise", "or not"])
async def test_speech_stops_an_answer(peer: Peer, wanted: bool) -> None:
    detection: dict[str, Any] = {"type": "semantic_vad", "eagerness": "low", "interrupt_response": wanted}
    config = replace(REQUEST.config, turn_detection=detection)  # type: ignore[arg-type]  # as a program gives it
    async with lined(peer, config) as (_, asked):
        assert asked["audio"]["input"]["turn_detection"] == {**detection, "create_response": False}


# Telephone audio


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("audio_format", "wire_type", "law"),
    [
        pytest.param(AudioFormat.G711_ULAW, "audio/pcmu", MU_LAW, id="µ-law"),
        pytest.param(AudioFormat.G711_ALAW, "audio/pcma", A_LAW, id="A-law"),
    ],
)
async def test_g711_is_on_the_wire_and_pcm_behind_it(
    peer: Peer, audio_format: AudioFormat, wire_type: str, law: Companding
) -> None:
    config = replace(REQUEST.config, input_format=audio_format, output_format=audio_format)
    async with lined(peer, config) as (line, asked):
        for side in ("input", "output"):
            assert asked["audio"][side]["format"] == {"type": wire_type}
        spoken = _tone(rate_hz=24_000, ms=400)
        for start in range(0, len(spoken), 960):
            await line.adapter.send(AudioFrame("f", spoken[start : start + 960]))
        sent = b""
        while len(sent) < 390 * 8:
            sent += base64.b64decode((await line.socket.take("input_audio_buffer.append"))["audio"])
        assert _likeness(law.decoded(sent).tobytes(), _tone(rate_hz=8_000, ms=400)) > 0.99

        coded = law.encoded(np.frombuffer(_tone(rate_hz=8_000, ms=400), "<i2"))
        pieces = [coded[start : start + 1_000] for start in range(0, len(coded), 1_000)]
        await line.socket.give(wire.created("r"), *(wire.audio("r", p) for p in pieces), wire.done("r"))
        heard = b""
        while True:
            (event,) = await line.next()
            if isinstance(event, ResponseEnded):
                break
            heard += event.pcm if isinstance(event, OutputAudio) else b""
        assert len(heard) == 400 * 48, "the end is not lost in a filter"
        assert _likeness(heard, spoken) > 0.99


@pytest.mark.asyncio
async def test_a_cut_of_g711_counts_its_own_milliseconds(peer: Peer) -> None:
    config = replace(REQUEST.config, output_format=AudioFormat.G711_ULAW)
    async with lined(peer, config) as (line, _):
        await line.socket.give(wire.created("r"), wire.audio("r", bytes(8 * 300)), wire.done("r"))
        await line.next(4)
        interrupted, truncated = await both(
            line.adapter.interrupt("r", heard_ms=200), _truncated(line.socket)
        )
        assert interrupted is None
        assert (truncated["audio_end_ms"], truncated["content_index"]) == (200, 0)


async def _truncated(socket: PeerSocket) -> Json:
    event = await socket.take("conversation.item.truncate")
    await socket.give(
        {
            "type": "conversation.item.truncated",
            "item_id": event["item_id"],
            "content_index": 0,
            "audio_end_ms": event["audio_end_ms"],
        }
    )
    return event


@pytest.mark.asyncio
async def test_half_a_sample_waits_for_the_other_half(line: Line) -> None:
    pcm = bytes(range(12))
    await line.socket.give(
        wire.created("r"),
        *(wire.audio("r", piece) for piece in (pcm[:3], pcm[3:4], pcm[4:5], pcm[5:])),
        wire.done("r"),
    )
    events = await line.next(5)
    heard = [event.pcm for event in events if isinstance(event, OutputAudio)]
    assert b"".join(heard) == pcm
    assert not any(len(piece) % 2 for piece in heard)


def _tone(*, rate_hz: int, ms: int) -> bytes:
    at = np.arange(rate_hz * ms // 1000) * (2 * np.pi * 400 / rate_hz)
    samples: bytes = (np.sin(at) * 8000).astype("<i2").tobytes()
    return samples


def _likeness(one: bytes, other: bytes) -> float:
    """How alike two sounds are, without their first and last 20 ms."""
    a, b = (np.frombuffer(sound, "<i2").astype(float) for sound in (one, other))
    margin = len(b) // 20
    a, b = a[margin : len(b) - margin], b[margin : len(b) - margin]
    a = a[: len(b)]
    return float(np.corrcoef(a, b[: len(a)])[0, 1])
