"""Calls over WebRTC that end at the plane, by stock aiortc, and with a provider that a test holds."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from agentfield_adapters.scripted.adapter import silent
from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.frames import (
    AudioFrame,
    OutputAudio,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    SpeechStarted,
)
from tests.media.web_caller import FRAME_SAMPLES, WebCaller, vowel, web_caller
from tests.plane.serving import OFFER, AnsweringAdapter, Served, desk, served

pytestmark = pytest.mark.asyncio


DIALLED: list[str] = []


def keys() -> Agent:
    """A node that listens to keys, or says good morning."""
    app = Agent("keys")

    @app.session("phone", provider="local", transport="websocket")
    async def listens(session: RealtimeSession) -> None:
        async for digit in session.digits():
            DIALLED.append(digit)

    @app.session("greeter", provider="local", transport="websocket")
    async def greets(session: RealtimeSession) -> None:
        await session.say("Good morning.")

    return app


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with (
        pytest.MonkeyPatch.context() as patch,
        served(tmp_path_factory.mktemp("data"), patch, agents=[desk(), keys()]) as server,
    ):
        yield server


async def post(server: Served, session_id: str, offer: str, *, to: str = "media-offer") -> httpx.Response:
    path = f"/api/v1/session-instances/{session_id}/{to}"
    return await asyncio.to_thread(server.client.post, path, content=offer)


async def call(server: Served, caller: WebCaller, target: str = "desk.phone") -> str:
    """Call a fresh session; returns its id once connected."""
    session_id = server.start(target)
    server.adapters[-1]._answer = silent
    answer = await post(server, session_id, await caller.offer())
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/sdp"), answer.text
    await caller.accept(answer.text)
    return session_id


def until_ended(server: Served, session_id: str) -> None:
    with server.events(session_id) as events:
        assert events.kinds()[-1][1] == "session_ended"


async def close_reason(server: Served, session_id: str) -> str:
    await asyncio.to_thread(until_ended, server, session_id)
    reason: str = server.get(f"/api/v1/session-instances/{session_id}").json()["close_reason"]
    return reason


def give(server: Served, *events: ProviderEvent) -> None:
    """Have the newest session's provider say something."""
    adapter: AnsweringAdapter = server.adapters[-1]
    server.loop.call_soon_threadsafe(adapter.give, *events)


def heard(server: Served) -> list[bytes]:
    return [frame.pcm for frame in server.adapters[-1].sent if isinstance(frame, AudioFrame)]


async def until_heard(server: Served, frames: int) -> None:
    """Wait until the newest session's provider got so many frames."""
    async with asyncio.timeout(10):
        while len(heard(server)) < frames:
            await asyncio.to_thread(server.get, "/health")


async def test_a_caller_is_heard_in_whole_frames_and_hears_the_answer(server: Served) -> None:
    async with web_caller() as caller:
        await call(server, caller)
        await caller.say(vowel(50))
        await until_heard(server, 50)
        assert {len(pcm) for pcm in heard(server)} == {FRAME_SAMPLES * 2}
        speech = b"".join(vowel(25))
        give(server, ResponseStarted("r1"), OutputAudio("r1", "i1", speech))
        give(server, ResponseEnded("r1", ResponseStatus.COMPLETED))
        await caller.until(lambda: caller.loud_frames >= 25 and caller.quiet_frames > 5)
        assert caller.loud_frames <= 27


async def test_speaking_up_silences_what_was_about_to_be_heard(server: Served) -> None:
    async with web_caller() as caller:
        await call(server, caller, "keys.greeter")
        utterance_id = await asked_to_speak(server)
        give(server, ResponseStarted("r1", utterance_id))
        give(server, OutputAudio("r1", "i1", b"".join(vowel(500))))
        await caller.until(lambda: caller.loud_frames > 10)
        give(server, SpeechStarted("i2"))
        await caller.until(lambda: caller.quiet_frames > 20)
        assert caller.loud_frames < 250, "it was said to the end"


async def asked_to_speak(server: Served) -> str:
    """The utterance that the newest session's provider was asked for."""
    adapter: AnsweringAdapter = server.adapters[-1]
    async with asyncio.timeout(10):
        while True:
            for frame in adapter.sent:
                if isinstance(frame, SpeechFrame):
                    return frame.utterance_id
            await asyncio.to_thread(server.get, "/health")


async def test_a_caller_who_hangs_up_ends_the_session(server: Served) -> None:
    async with web_caller() as caller:
        session_id = await call(server, caller)
    assert await close_reason(server, session_id) == "caller_gone"


async def test_a_caller_who_vanishes_is_missed(server: Served) -> None:
    async with web_caller() as caller:
        session_id = await call(server, caller)
        caller.vanish()
        assert await close_reason(server, session_id) == "caller_gone"


async def test_a_session_that_ends_hangs_up_on_its_caller(server: Served) -> None:
    async with web_caller() as caller:
        session_id = await call(server, caller)
        server.post(f"/api/v1/session-instances/{session_id}/close")
        await caller.until(lambda: caller.connection.connectionState == "closed")
    assert await close_reason(server, session_id) == "normal"


@pytest.mark.parametrize("payload_type", [110, 126], ids=["48 kHz", "8 kHz"])
async def test_keys_are_digits_once_each_and_audio_goes_on(server: Served, payload_type: int) -> None:
    DIALLED.clear()
    async with web_caller() as caller:
        await call(server, caller, "keys.phone")
        await caller.say(vowel(5))
        for digit, ends in (("1", 3), ("1", 1), ("#", 3), ("7", 0)):
            await caller.press(digit, payload_type=payload_type, ends=ends)
        await caller.say(vowel(30))
        await until_heard(server, 35)
    assert DIALLED == ["1", "1", "#", "7"]


async def test_lost_packets_leave_no_hole(server: Served) -> None:
    async with web_caller() as caller:
        await call(server, caller)
        await caller.say(vowel(100), lost=[10, 30, 31, 60, 61, 62])
        await until_heard(server, 100)
        assert not any(pcm == bytes(len(pcm)) for pcm in heard(server)[5:100])


@pytest.mark.parametrize(
    ("offer", "says"),
    [
        ("hello", "does not begin with v=0"),
        (OFFER.replace("111 opus/48000/2", "0 PCMU/8000").replace("SAVPF 111", "SAVPF 0"), "lacks Opus"),
        (
            OFFER.replace("t=0 0\r\n", "t=0 0\r\na=group:BUNDLE 0 1\r\n")
            + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:1\r\n",
            "without a data channel",
        ),
        (OFFER + "a=x\r\n" * 20_000, "larger than 65536 bytes"),
    ],
    ids=["no SDP", "no Opus", "data channel", "too large"],
)
async def test_an_offer_we_cannot_take_is_refused_and_leaves_the_session_usable(
    server: Served, offer: str, says: str
) -> None:
    session_id = server.start()
    refused = await post(server, session_id, offer)
    assert refused.status_code == 400
    assert says in refused.json()["error"]
    async with web_caller() as caller:
        assert (await post(server, session_id, await caller.offer())).status_code == 200


async def test_a_session_has_one_caller_and_the_right_kind_of_media(server: Served) -> None:
    async with web_caller() as caller:
        session_id = await call(server, caller)
        second = await post(server, session_id, OFFER)
        assert (second.status_code, "has had its offer" in second.json()["error"]) == (409, True)
    await close_reason(server, session_id)
    third = await post(server, session_id, OFFER)
    assert (third.status_code, "is over" in third.json()["error"]) == (410, True)
    other = await post(server, server.start("desk.page"), OFFER)
    assert (other.status_code, "realtime-offer instead" in other.json()["error"]) == (400, True)
    assert (await post(server, "sess_nobody", OFFER)).status_code == 404
