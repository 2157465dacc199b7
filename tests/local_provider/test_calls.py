"""Calls over WebRTC: a conversation, an interruption, the sideband, and every way a call ends."""

from __future__ import annotations

import asyncio
import json
import random
from itertools import groupby

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.local_provider.caller_peer import CallerPeer, calling
from tests.local_provider.provider_process import KEY, RunningProvider
from tests.local_provider.realtime_client import WAIT_S, RealtimeClient, session

WORDS = "conversation.item.input_audio_transcription"
"""Another process knows them, and the rest does not wait for it."""
LONG = "One two three four five six seven eight nine ten. " * 3


@pytest.mark.asyncio
async def test_a_caller_is_heard_and_answered(provider: RunningProvider) -> None:
    async with calling(provider) as peer:
        await peer.speak("where is my order")
        await peer.until("output_audio_buffer.stopped")
        kinds = peer.kinds(until="output_audio_buffer.stopped")
        words = [kind for kind in kinds if kind.startswith(WORDS)]
        assert (words[0], words.count(f"{WORDS}.completed")) == (f"{WORDS}.delta", 1)
        assert kinds.index(f"{WORDS}.completed") > kinds.index("input_audio_buffer.committed")
        assert [kind for kind, _ in groupby(kind for kind in kinds if kind not in words)] == [
            "session.created",
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "output_audio_buffer.started",
            "response.output_audio_transcript.delta",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
            "output_audio_buffer.stopped",
        ]
        assert peer.heard_at > peer.microphone.spoke_at > 0


@pytest.mark.asyncio
async def test_the_transcript_follows_what_is_played(provider: RunningProvider) -> None:
    async with calling(provider) as peer:
        peer.send("response.create", response={"instructions": "Say exactly: One two three four five six."})
        words, heard_ms = list[str](), list[int]()
        while len(words) < 6:
            words.append((await peer.until("response.output_audio_transcript.delta"))["delta"])
            heard_ms.append(peer.heard_ms)
        assert "".join(words) == "One two three four five six."
        assert heard_ms[-1] - heard_ms[0] > 400, "the words ran ahead of the sound"
        await peer.until("output_audio_buffer.stopped")
        assert peer.heard_ms > heard_ms[-1], "the words came when all was said"


@pytest.mark.asyncio
async def test_an_interruption_cuts_the_answer_where_it_was_heard(provider: RunningProvider) -> None:
    async with calling(provider) as peer:
        peer.send("response.create", response={"instructions": f"Say exactly: {LONG}"})
        loop = asyncio.get_running_loop()
        await peer.until("output_audio_buffer.started")
        began = loop.time()
        await peer.speak("goodbye")
        truncated = await peer.until("conversation.item.truncated")
        took_ms = (loop.time() - began) * 1000
        kinds = peer.kinds(until="conversation.item.truncated")
        assert kinds[kinds.index("input_audio_buffer.speech_started") :] == [
            "input_audio_buffer.speech_started",
            "output_audio_buffer.cleared",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
            "conversation.item.truncated",
        ]
        done = next(event for event in peer.events if event["type"] == "response.done")["response"]
        assert done["status_details"]["reason"] == "turn_detected"
        said = "".join(
            e["delta"] for e in peer.events if e["type"] == "response.output_audio_transcript.delta"
        )
        assert done["output"][0]["content"][0]["transcript"] == said
        assert said
        assert LONG.startswith(said)
        assert said != LONG
        assert 0 < truncated["audio_end_ms"] < took_ms + 1_000
        peer.send("conversation.item.retrieve", item_id=truncated["item_id"])
        kept = await peer.until("conversation.item.retrieved")
        assert kept["item"]["content"] == [{"type": "output_audio"}]


@pytest.mark.asyncio
async def test_cancelling_empties_what_waits_to_be_played(provider: RunningProvider) -> None:
    async with calling(provider) as peer:
        peer.send("response.create", response={"instructions": f"Say exactly: {LONG}"})
        await peer.until("output_audio_buffer.started")
        peer.send("response.cancel")
        done = await peer.until("response.done")
        assert done["response"]["status_details"]["reason"] == "client_cancelled"
        peer.send("output_audio_buffer.clear")
        assert (await peer.until("output_audio_buffer.cleared"))["response_id"] == done["response"]["id"]


@pytest.mark.asyncio
async def test_the_sideband_shares_the_session_without_greeting_or_audio(provider: RunningProvider) -> None:
    async with calling(provider) as peer, session(provider, f"call_id={peer.call_id}") as sideband:
        updated = await sideband.configure(instructions="From the sideband.")
        assert sideband.kinds() == ["session.updated"]
        assert (await peer.until("session.updated"))["session"] == updated["session"]
        await sideband.say("Hello.")
        await sideband.until("output_audio_buffer.stopped")
        assert not sideband.all("response.output_audio.delta")
        await peer.until("output_audio_buffer.stopped")
        shared = [event["event_id"] for event in sideband.events]
        assert shared == [event["event_id"] for event in peer.events[1:]]
        refusal = await sideband.ask("input_audio_buffer.append", "error", audio="")
        assert refusal["error"]["code"] == "invalid_value"


@pytest.mark.asyncio
async def test_the_sideband_closes_normally_when_the_caller_hangs_up(provider: RunningProvider) -> None:
    peer = CallerPeer()
    await peer.dial(provider)
    async with session(provider, f"call_id={peer.call_id}") as sideband:
        await sideband.configure()
        await peer.hang_up()
        assert await close_code(sideband) == 1000
    assert await hang_up(provider, peer.call_id) == 404


@pytest.mark.asyncio
async def test_hanging_up_over_http_ends_the_call_for_everyone(provider: RunningProvider) -> None:
    async with calling(provider) as peer, session(provider, f"call_id={peer.call_id}") as sideband:
        assert await hang_up(provider, peer.call_id) == 200
        assert await close_code(sideband) == 1000
        await until_closed(peer)
        assert await hang_up(provider, peer.call_id) == 404


@pytest.mark.asyncio
async def test_two_calls_do_not_hear_each_other(provider: RunningProvider) -> None:
    async with calling(provider) as first, calling(provider) as second:
        assert first.call_id != second.call_id
        await first.speak("goodbye")
        await first.until("output_audio_buffer.stopped")
        assert second.kinds() == ["session.created"]


@pytest.mark.asyncio
async def test_an_unknown_call_has_no_sideband(provider: RunningProvider) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{provider.websocket_url}?call_id=rtc_none", additional_headers=KEY)
    assert refused.value.response.status_code == 404
    assert json.loads(refused.value.response.body or b"")["error"]["code"] == "call_id_not_found"


@pytest.mark.asyncio
@pytest.mark.parametrize("url", ["/v1/models", "/v1/realtime/calls", "/v1/realtime/calls/rtc_none/hangup"])
async def test_a_request_without_a_key_is_turned_away(provider: RunningProvider, url: str) -> None:
    async with httpx.AsyncClient(base_url=provider.url) as client:
        answer = await (client.get(url) if url.endswith("models") else client.post(url))
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    with pytest.raises(InvalidStatus) as refused:
        await connect(provider.websocket_url)
    assert refused.value.response.status_code == 401


AUDIO_ONLY = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
SECURE = "a=fingerprint:sha-256 00\r\na=ice-ufrag:a\r\na=ice-pwd:b\r\n"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("offer", "status"),
    [
        (b"", 400),
        (b"hello", 400),
        (b"\xff\xfe", 400),
        (b"v=0\r\n", 400),
        (AUDIO_ONLY.encode(), 400),
        ((AUDIO_ONLY + SECURE).encode(), 400),
        (("v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n" + SECURE).encode(), 400),
        (b"v=0\r\n" + b"a=x\r\n" * 20_000, 400),
        (b"v=0\r\n" + b"a=x\r\n" * 300_000, 413),
    ],
)
async def test_an_offer_that_cannot_be_answered_gets_one_clear_error(
    provider: RunningProvider, offer: bytes, status: int
) -> None:
    headers = {**KEY, "Content-Type": "application/sdp"}
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{provider.url}/v1/realtime/calls", headers=headers, content=offer)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


@pytest.mark.asyncio
async def test_an_offer_broken_at_random_is_answered_or_refused_and_nothing_else(
    provider: RunningProvider,
) -> None:
    draw = random.Random(1)
    peer = CallerPeer()
    await peer.connection.setLocalDescription(await peer.connection.createOffer())
    lines = peer.connection.localDescription.sdp.split("\r\n")
    await peer.connection.close()
    headers = {**KEY, "Content-Type": "application/sdp"}
    async with httpx.AsyncClient(base_url=provider.url) as client:
        for _ in range(60):
            broken = list(lines)
            for _ in range(draw.randint(1, 4)):
                broken[draw.randrange(len(broken))] = draw.choice(["", draw.choice(lines), "a=\0", "m=audio"])
            offer = "\r\n".join(broken).encode()
            answer = await client.post("/v1/realtime/calls", headers=headers, content=offer)
            assert answer.status_code in (201, 400)
            if answer.status_code == 201:
                await hang_up(provider, answer.headers["location"].rpartition("/")[2])


@pytest.mark.asyncio
async def test_a_call_with_a_wrong_session_is_refused_before_it_begins(provider: RunningProvider) -> None:
    parts = {"sdp": (None, AUDIO_ONLY + SECURE), "session": (None, '{"type": "realtime", "voice": "marin"}')}
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{provider.url}/v1/realtime/calls", headers=KEY, files=parts)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("unknown_parameter", "session.voice")


async def hang_up(provider: RunningProvider, call_id: str) -> int:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{provider.url}/v1/realtime/calls/{call_id}/hangup", headers=KEY)
    return answer.status_code


async def close_code(client: RealtimeClient) -> int | None:
    with pytest.raises(ConnectionClosed):
        while True:
            await client.next()
    return client.socket.close_code


async def until_closed(peer: CallerPeer) -> None:
    closed = asyncio.Event()
    if peer.connection.connectionState == "closed":
        return
    peer.connection.on("connectionstatechange", closed.set)
    await asyncio.wait_for(closed.wait(), WAIT_S)
