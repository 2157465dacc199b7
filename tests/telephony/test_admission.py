"""Who may call: signed requests and streams, tickets that are good once, and everybody else at the door."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from websockets.exceptions import InvalidStatus

from agentfield_adapters.media.telephony.telnyx import Telnyx
from agentfield_adapters.media.telephony.twilio import Twilio
from agentfield_rt.config import Settings
from agentfield_rt.errors import IllegalCommand, UnsupportedTransport
from agentfield_rt.plane.sessions import Sessions
from agentfield_rt.plane.telephony.routes import TICKET_VALID_S, TICKETS_MAX, Tickets
from agentfield_rt.telephony import TICKET, NotFromVendor, SignedRequest, phone_vendor
from tests.telephony.exchange import Exchange, exchange
from tests.telephony.peer import address, ask, called, opened, told
from tests.telephony.vendors import VENDORS, TelnyxVendor, TwilioVendor, Vendor
from tests.virtual_time import in_virtual_time, time_passes

MakeVendor = Callable[[], Vendor]
each_vendor = pytest.mark.parametrize("make_vendor", VENDORS, ids=lambda vendor: vendor.name)
OTHER_KEY = "xM8uLzqGEVGwQzzhm9TVGgqDwx1ZyKuoWFbjQBa5pgo="


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    with pytest.MonkeyPatch.context() as patch, exchange(tmp_path_factory.mktemp("data"), patch) as line:
        yield line


def test_twilio_s_own_example_of_a_signature_is_right() -> None:
    """From "Webhooks Security"."""
    body = (
        b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
    )
    request = SignedRequest(
        url="https://mycompany.com/myapp.php?foo=1&bar=2",
        headers={"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="},
        body=body,
    )
    assert Twilio("12345").webhook(request)["Digits"] == "1234"
    for wrong in (Twilio("12346"), Twilio("")):
        with pytest.raises(NotFromVendor):
            wrong.webhook(request)


@pytest.mark.parametrize("port", ["", ":8443"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_stream_of_twilio_is_known_by_the_address_it_was_given(port: str, slash: str) -> None:
    path = "/api/v1/telephony/twilio/desk.phone"
    headers = TwilioVendor().opening(f"wss://voice.example.com{port}{path}{slash}")
    signed = {name.lower(): value for name, value in headers.items()}
    twilio = Twilio(TwilioVendor.auth_token)
    twilio.admit(SignedRequest(url=f"wss://voice.example.com:8443{path}", headers=signed))
    with pytest.raises(NotFromVendor):
        twilio.admit(SignedRequest(url=f"wss://other.example.com:8443{path}", headers=signed))


@each_vendor
@pytest.mark.parametrize("wrong", ["unsigned", "foreign", "changed", "garbled"])
def test_a_request_that_is_not_the_vendor_s_is_refused(
    line: Exchange, make_vendor: MakeVendor, wrong: str
) -> None:
    vendor = make_vendor()
    body, headers = vendor.request(f"https://{address(vendor)}")
    signature = "X-Twilio-Signature" if vendor.name == "twilio" else "telnyx-signature-ed25519"
    if wrong == "unsigned":
        del headers[signature]
    elif wrong == "foreign":
        headers[signature] = "A" * 27 + "="
    elif wrong == "changed":
        body += b"&To=%2B1900"
    else:
        headers[signature] = "\xff\xfe not base64"
    answer = line.server.client.post(
        f"/api/v1/telephony/{vendor.name}/desk.phone",
        content=body,
        headers=[(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    )
    assert answer.status_code == 403
    assert "not signed by" in answer.json()["error"]


@pytest.mark.parametrize("off_s", [-301, 301, None])
def test_a_request_of_telnyx_is_good_for_five_minutes(line: Exchange, off_s: float | None) -> None:
    vendor = TelnyxVendor()
    body, headers = vendor.request_at(time.time() + (off_s or 0))
    if off_s is None:
        headers["telnyx-timestamp"] = "soon"
    answer = line.server.client.post("/api/v1/telephony/telnyx/desk.phone", content=body, headers=headers)
    assert answer.status_code == 403
    assert "within the last 300 s" in answer.json()["error"]


@each_vendor
@pytest.mark.parametrize(
    ("target", "status", "why"),
    [
        ("desk.nobody", 404, "not registered"),
        ("nobody.phone", 404, "agent not found"),
        ("desk", 400, "<node>.<session>"),
        ("desk.page", 400, "phones need a session of transport=websocket"),
    ],
)
def test_a_session_that_no_phone_reaches_is_refused_with_a_reason(
    line: Exchange, make_vendor: MakeVendor, target: str, status: int, why: str
) -> None:
    answer = ask(line.server, make_vendor(), target)
    assert answer.status_code == status
    assert why in answer.json()["error"]


def test_who_has_not_shown_who_it_is_does_not_learn_which_sessions_there_are(line: Exchange) -> None:
    for target in ("desk.phone", "desk.page", "desk.nobody"):
        answer = line.server.client.post(f"/api/v1/telephony/twilio/{target}")
        assert answer.status_code == 403


def test_a_vendor_that_nobody_knows_is_refused_with_those_that_are(line: Exchange) -> None:
    answer = line.server.client.post("/api/v1/telephony/acme/desk.phone")
    assert answer.status_code == 404
    assert answer.json()["error"] == "no phone vendor of this name; there are: telnyx, twilio"


@pytest.mark.parametrize("missing", ["public_url", "twilio_auth_token"])
def test_what_is_not_set_is_named(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with exchange(tmp_path, monkeypatch, **{missing: None}) as line:
        answer = ask(line.server, TwilioVendor())
        assert answer.status_code == 404
        variable = {"public_url": "AGENTFIELD_RT_PUBLIC_URL", "twilio_auth_token": "TWILIO_AUTH_TOKEN"}
        assert f"{variable[missing]} is not set" in answer.json()["error"]


def test_a_key_that_is_none_is_refused_at_the_start_and_not_shown() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(telnyx_public_key=SecretStr("not-a-key"))
    assert "32 bytes in base64" in str(refused.value)
    assert "not-a-key" not in str(refused.value)


async def closed_with(line: Exchange, vendor: Vendor, ticket: str | None, target: str = "desk.phone") -> int:
    """The code with which a stream is closed that brings this ticket."""
    async with opened(line.server, vendor, target=target) as phone:
        await phone.send(vendor.connected(), vendor.start({} if ticket is None else {TICKET: ticket}))
        return await phone.closed


@pytest.mark.asyncio
async def test_a_ticket_is_good_once_and_for_its_own_target(line: Exchange) -> None:
    def ticket() -> str:
        return told(ask(line.server, TelnyxVendor()).text).parameters[TICKET]

    assert await closed_with(line, TelnyxVendor(), None) == 4400
    assert await closed_with(line, TelnyxVendor(), "x" * 43) == 4400
    assert await closed_with(line, TelnyxVendor(), await asyncio.to_thread(ticket), "desk.pin") == 4400
    used = await asyncio.to_thread(ticket)
    vendor = TelnyxVendor()
    async with opened(line.server, vendor) as phone:
        await phone.send(vendor.connected(), vendor.start({TICKET: used}))
        call = await line.call()
        assert await closed_with(line, TelnyxVendor(), used) == 4400
        await phone.send(vendor.stop())
    assert await call.close_reason() == "caller_gone"


@in_virtual_time
async def test_a_ticket_is_good_for_a_minute_and_there_are_only_so_many() -> None:
    tickets = Tickets()
    old = tickets.issue("desk.phone")
    await time_passes(TICKET_VALID_S + 1)
    with pytest.raises(IllegalCommand, match="no valid ticket"):
        tickets.take(old, "desk.phone")
    first, *others = [tickets.issue("desk.phone") for _ in range(TICKETS_MAX + 1)]
    with pytest.raises(IllegalCommand):
        tickets.take(first, "desk.phone")
    for ticket in others:
        tickets.take(ticket, "desk.phone")


@pytest.mark.parametrize("headers", [{}, {"X-Twilio-Signature": "A" * 27 + "="}], ids=["none", "wrong"])
@pytest.mark.asyncio
async def test_a_stream_that_twilio_did_not_sign_is_not_opened(
    line: Exchange, headers: dict[str, str]
) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with opened(line.server, TwilioVendor(), headers=headers):
            pass
    (refusal,) = caught.value.exceptions
    assert isinstance(refusal, InvalidStatus)
    assert refusal.response.status_code == 403


@pytest.mark.asyncio
async def test_a_signature_for_one_session_does_not_open_another(line: Exchange) -> None:
    vendor = TwilioVendor()
    headers = vendor.opening(f"wss://{address(vendor)}")
    with pytest.raises(ExceptionGroup):
        async with opened(line.server, vendor, target="desk.pin", headers=headers):
            pass


@pytest.mark.asyncio
async def test_when_no_session_is_free_the_caller_hears_that_we_are_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with exchange(tmp_path, monkeypatch, sessions_max=1) as line:
        vendor = TwilioVendor()
        async with called(line.server, vendor) as phone:
            await line.call()
            for other in VENDORS:
                answer = await asyncio.to_thread(ask, line.server, other())
                assert answer.status_code == 200
                assert '<Reject reason="busy"/>' in answer.text
            assert await closed_with(line, TwilioVendor(), None) == 4500
            await phone.send(vendor.stop())


@pytest.mark.asyncio
async def test_while_no_session_is_started_any_more_the_caller_hears_that_we_are_busy(
    line: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sessions, "has_room", False)  # what a server that is about to stop says
    answer = await asyncio.to_thread(ask, line.server, TwilioVendor())
    assert '<Reject reason="busy"/>' in answer.text


@pytest.mark.parametrize("key", ["", "x", "AAAA", OTHER_KEY + "AA"])
def test_what_is_no_public_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ValueError, match="TELNYX_PUBLIC_KEY is 32 bytes in base64") as caught:
        phone_vendor("telnyx", key)
    assert not key or key not in str(caught.value)


def test_a_vendor_that_is_not_installed_is_refused_with_those_that_are() -> None:
    with pytest.raises(UnsupportedTransport, match="Installed: telnyx, twilio"):
        phone_vendor("acme", "")


def test_no_key_is_shown_by_what_holds_it() -> None:
    settings = Settings(twilio_auth_token="a-secret-token", telnyx_public_key=OTHER_KEY)  # type: ignore[arg-type]
    assert "a-secret-token" not in repr(settings) + repr(Twilio("a-secret-token"))
    assert OTHER_KEY not in repr(settings) + repr(Telnyx(OTHER_KEY))


@pytest.mark.parametrize("url", ["http://voice.example.com", "voice.example.com", "https://a b", "https://"])
def test_a_public_address_is_one_that_vendors_take(url: str) -> None:
    with pytest.raises(ValueError, match="public_url"):
        Settings(public_url=url)


def test_under_the_public_name_there_is_only_what_checks_who_asks(line: Exchange) -> None:
    assert Settings(public_url="https://voice.example.com:8443/voice").public_name == "voice.example.com"
    host = {"host": "voice.example.com"}
    get, post = line.server.client.get, line.server.client.post
    assert get("/health", headers=host).status_code == 400
    assert get("/", headers=host).status_code == 400
    assert get("/api/v1/session-targets", headers=host).status_code == 400
    assert post("/api/v1/telephony/twilio/desk.phone", headers=host).status_code == 403
    assert get("/health").status_code == 200
