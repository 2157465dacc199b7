"""The webhook sink: signed as Standard Webhooks says, and honest about what it does not know."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Callable

import httpx
import pytest

from agentfield_adapters.webhook import WebhookSink
from agentfield_rt.deliveries import Destination, Parcel, SinkError
from agentfield_rt.errors import Reason

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
URL = "https://crm.example.com/hooks?token=hush"
PARCEL = Parcel(
    op_id="dlv_1",
    dedupe_key="ab" * 32,
    run_id="run_1",
    destination=Destination("crm", "case-42"),
    content_type="text/plain",
    body=b"hello",
)
Answer = Callable[[httpx.Request], httpx.Response]


def send(answer: Answer) -> str | None:
    """Send the parcel to a server that answers like this."""

    async def go() -> str | None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            sink = WebhookSink(URL, SECRET, client=client, clock=lambda: 1_767_225_600 * 10**9)
            return await sink.send(PARCEL)

    return asyncio.run(go())


def test_a_parcel_is_posted_as_it_is_and_signed() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202)

    assert send(answer) == "202"
    (request,) = seen
    assert (request.method, str(request.url), request.content) == ("POST", URL, b"hello")
    assert request.headers["content-type"] == "text/plain"
    assert request.headers["webhook-id"] == PARCEL.dedupe_key
    signed = f"{PARCEL.dedupe_key}.1767225600.hello".encode()
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-timestamp"] == "1767225600"
    assert request.headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize(
    ("status", "reason", "not_done"),
    [
        (301, Reason.INVALID_REQUEST, True),
        (400, Reason.INVALID_REQUEST, True),
        (401, Reason.UNAUTHORIZED, True),
        (404, Reason.NOT_FOUND, True),
        (429, Reason.RATE_LIMITED, True),
        (408, Reason.UNAVAILABLE, False),
        (500, Reason.UNAVAILABLE, False),
        (503, Reason.UNAVAILABLE, False),
    ],
)
def test_a_refusal_changed_nothing_and_a_broken_server_leaves_doubt(
    status: int, reason: Reason, not_done: bool
) -> None:
    with pytest.raises(SinkError) as failed:
        send(lambda _: httpx.Response(status, headers={"location": "https://elsewhere.example.com"}))
    assert (failed.value.reason, failed.value.not_done) == (reason, not_done)
    assert "hush" not in str(failed.value)


@pytest.mark.parametrize(
    ("error", "not_done"),
    [
        (httpx.ConnectError("no"), True),
        (httpx.ConnectTimeout("no"), True),
        (httpx.ReadTimeout("no"), False),
        (httpx.ReadError("no"), False),
        (httpx.WriteError("no"), False),
        (httpx.RemoteProtocolError("no"), False),
    ],
)
def test_only_what_was_never_sent_certainly_did_not_arrive(error: Exception, not_done: bool) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(SinkError) as failed:
        send(answer)
    assert failed.value.not_done is not_done


def test_neither_address_nor_secret_is_shown() -> None:
    async def go() -> str:
        async with WebhookSink(URL, SECRET, name="crm") as sink:
            return repr(sink)

    assert asyncio.run(go()) == "WebhookSink(name='crm')"


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "not base64!", "whsec_" + "A" * 200])
def test_a_weak_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="a webhook's secret is") as refused:
        WebhookSink(URL, secret)
    assert not secret.removeprefix("whsec_") or secret not in str(refused.value)


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="https://"):
        WebhookSink("file:///etc/passwd", SECRET)
