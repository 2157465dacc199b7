"""The vendor's own client answers, refuses, hands on and ends calls of the local provider."""

import base64
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from openai.types.webhooks import RealtimeCallIncomingWebhookEvent

from agentfield_adapters.local.pytest_plugin import af_provider, af_provider_process
from agentfield_adapters.local.running import LocalPhone, LocalProvider

__all__ = ["af_provider", "af_provider_process"]  # also in an environment older than the plugin

SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"


class Receiver(HTTPServer):
    """Takes webhooks, and lets the vendor's client check and read them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.events: list[object] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        event = OpenAI(api_key="none").webhooks.unwrap(body, dict(self.headers), secret=SECRET)
        assert isinstance(self.server, Receiver)
        self.server.events.append(event)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Generator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(af_provider: LocalProvider) -> Generator[OpenAI]:
    with OpenAI(api_key="any", base_url=af_provider.base_url(), max_retries=0) as client:
        yield client


@pytest.fixture
def phone(af_provider: LocalProvider, receiver: Receiver) -> LocalPhone:
    return af_provider.dial("+15550100", caller="+15550199", webhook_url=receiver.url, webhook_secret=SECRET)


def test_the_webhook_is_one_that_the_client_believes_and_reads(phone: LocalPhone, receiver: Receiver) -> None:
    (event,) = receiver.events
    assert phone.webhook_status == 200
    assert isinstance(event, RealtimeCallIncomingWebhookEvent)
    assert event.data.call_id == phone.call_id
    headers = {header.name: header.value for header in event.data.sip_headers}
    assert headers["From"] == "<sip:+15550199@sip.example.com>;tag=1"


def test_it_answers_hands_on_and_hangs_up(phone: LocalPhone, client: OpenAI) -> None:
    calls = client.realtime.calls
    calls.accept(phone.call_id, type="realtime", instructions="Be brief.", output_modalities=["audio"])
    assert phone.state()["state"] == "answered"
    calls.refer(phone.call_id, target_uri="tel:+15550123")
    assert phone.state()["referred_to"] == "tel:+15550123"
    calls.hangup(phone.call_id)
    with pytest.raises(NotFoundError):
        calls.hangup(phone.call_id)


def test_it_refuses_with_a_sip_status(phone: LocalPhone, client: OpenAI) -> None:
    client.realtime.calls.reject(phone.call_id, status_code=486)
    assert (phone.state()["state"], phone.state()["sip_status"]) == ("refused", 486)
    with pytest.raises(NotFoundError):
        client.realtime.calls.accept(phone.call_id, type="realtime")
    with pytest.raises(NotFoundError):
        client.realtime.calls.refer(phone.call_id, target_uri="tel:+1")
    with pytest.raises(NotFoundError):
        client.realtime.calls.reject(phone.call_id)


def test_what_the_service_refuses_is_refused_and_it_rings_on(phone: LocalPhone, client: OpenAI) -> None:
    calls = client.realtime.calls
    vad = {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 0.5}}}}
    with pytest.raises(BadRequestError, match=r"turn_detection\.threshold"):
        calls.accept(phone.call_id, type="realtime", extra_body=vad)
    with pytest.raises(BadRequestError, match=r"session\.voice"):
        calls.accept(phone.call_id, type="realtime", extra_body={"voice": "marin"})
    with pytest.raises(BadRequestError, match="400 to 699"):
        calls.reject(phone.call_id, status_code=200)
    assert phone.state()["state"] == "ringing"
    calls.accept(phone.call_id, type="realtime")
    with pytest.raises(BadRequestError, match="tel: or sip:"):
        calls.refer(phone.call_id, target_uri="https://example.com")
    phone.hang_up()
    assert phone.state()["state"] == "ended"
