"""The webhook that tells of a phone call: believed by its signature alone, and acted upon once."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentfield_adapters.local.pytest_plugin import af_provider, af_provider_process
from agentfield_adapters.local.running import LocalProvider
from agentfield_journal import JournalUnavailable
from agentfield_rt.plane.errors import Busy
from agentfield_rt.plane.sessions import Sessions, StartRequest
from agentfield_rt.plane.telephony.phone import ANSWERING_MAX, IncomingCall, Phones, SipHeader
from agentfield_rt.voice.session import VoiceSession
from agentfield_rt.webhooks import WebhookSecret
from tests.phone.stage import (
    OTHER_SECRET,
    SECRET,
    dial,
    incoming,
    plane,
    session_ids,
    signed,
    until,
)
from tests.planting import always

__all__ = ["af_provider", "af_provider_process"]  # also in an environment older than the plugin


def test_a_call_is_answered_once_however_often_it_is_told(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plane(tmp_path, monkeypatch, af_provider) as server:
        phone = dial(af_provider, server)
        body = incoming(phone.call_id)
        with ThreadPoolExecutor(4) as pool:
            told = [
                pool.submit(
                    httpx.post,
                    f"{server.url}/api/v1/webhooks/local",
                    content=body,
                    headers=signed(body, webhook_id=f"wh_{number % 2}"),
                )
                for number in range(8)
            ]
        assert {answer.result().status_code for answer in told} == {202}
        assert len(session_ids(server)) == 1


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("<sip:+15550100@sip.example.com>", "+15550100"),
        ('"sip:+15550111" <sips:+15550100@sip.example.com;transport=tls>;tag=9', "+15550100"),
        ("sip:desk@example.com;tag=1", "desk"),
        (" tel:+15550100;phone-context=x", "+15550100"),
        ('"Anonymous" <sip:>', None),
        ("+15550100", None),
        ("", None),
    ],
)
def test_the_number_is_that_of_the_address_and_not_of_the_name_that_is_shown(
    value: str, number: str | None
) -> None:
    call = IncomingCall("rtc_1", (SipHeader("Via", "x"), SipHeader("to", value)))
    assert call.number("To") == number


OTHER_EVENT = b'{"type":"response.completed","data":{}}'
NO_CALL = b'{"type":"realtime.call.incoming"}'


def webhooks() -> list[tuple[bytes, dict[str, str], int]]:
    """Bodies, headers, and what they are answered with."""
    return [
        (incoming("rtc_1"), {}, 401),
        (incoming("rtc_1"), signed(incoming("rtc_1"), secret=OTHER_SECRET), 401),
        (incoming("rtc_1"), signed(incoming("rtc_2")), 401),
        (incoming("rtc_1"), signed(incoming("rtc_1"), ago_s=301), 401),
        (b"x" * 70_000, signed(b"x" * 70_000), 400),
        (b"no json", signed(b"no json"), 400),
        (b"[]", signed(b"[]"), 400),
        (b"\xff", signed(b"\xff"), 400),
        (incoming("../../x"), signed(incoming("../../x")), 400),
        (NO_CALL, signed(NO_CALL), 400),
        (OTHER_EVENT, signed(OTHER_EVENT), 202),
    ]


def test_a_webhook_is_believed_by_its_signature_alone_and_starts_nothing_otherwise(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plane(tmp_path, monkeypatch, af_provider) as server:
        for body, headers, status in webhooks():
            answer = server.client.post("/api/v1/webhooks/local", content=body, headers=headers)
            assert answer.status_code == status, body[:80]
            assert SECRET.removeprefix("whsec_") not in answer.text
        assert session_ids(server) == []


@pytest.mark.parametrize("path", ["openai", "nobody"])
def test_a_provider_without_a_secret_tells_nothing_here(
    path: str, af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plane(tmp_path, monkeypatch, af_provider) as server:
        body = incoming("rtc_1")
        answer = server.client.post(f"/api/v1/webhooks/{path}", content=body, headers=signed(body))
    assert answer.status_code in (400, 404)


def test_these_tests_notice_a_server_that_answers_unsigned_calls(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WebhookSecret, "verified", always("wh_1"))
    with pytest.raises(AssertionError):
        test_a_webhook_is_believed_by_its_signature_alone_and_starts_nothing_otherwise(
            af_provider, tmp_path, monkeypatch
        )


def test_a_call_that_the_journal_did_not_take_is_answered_when_it_is_told_again(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Sessions.start
    failures = [JournalUnavailable("the disk is away")]

    async def start(self: Sessions, target: str, request: StartRequest) -> VoiceSession:
        if failures:
            raise failures.pop()
        return await original(self, target, request)

    monkeypatch.setattr(Sessions, "start", start)
    with plane(tmp_path, monkeypatch, af_provider) as server:
        phone = dial(af_provider, server)
        assert (phone.webhook_status, session_ids(server)) == (503, [])
        body = incoming(phone.call_id)
        told = server.client.post("/api/v1/webhooks/local", content=body, headers=signed(body))
        assert told.status_code == 202
        until(phone, "answered")


class Desk:
    """Takes every call and is never done connecting it, until it is told to."""

    session_id = "sess_1"

    def __init__(self) -> None:
        self.connects = asyncio.Event()
        self.started: list[str | None] = []

    async def start(self, target: str, wish: StartRequest) -> Any:
        self.started.append(wish.incoming_call_id)
        return self

    async def connect(self) -> None:
        await self.connects.wait()


@pytest.mark.asyncio
async def test_one_call_too_many_at_once_is_to_be_told_of_again() -> None:
    desk: Any = Desk()
    phones = Phones(desk, desk, {"*": "shop.desk"})
    for number in range(ANSWERING_MAX):
        await phones.ring("local", IncomingCall(f"rtc_{number}"))
    with pytest.raises(Busy):
        await phones.ring("local", IncomingCall("rtc_more"))
    assert len(desk.started) == ANSWERING_MAX
    desk.connects.set()
    await phones.close()
    await phones.ring("local", IncomingCall("rtc_more"))
    await phones.close()
    assert desk.started[-1] == "rtc_more"
