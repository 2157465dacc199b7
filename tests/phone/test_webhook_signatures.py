"""Signed webhooks: what the right sender signed lately is taken, and nothing else, whatever it looks like."""

import base64
import json
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI

from agentfield_rt.webhooks import OLD_S_MAX, WebhookRefused, WebhookSecret
from tests.planting import always

SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"
OTHER = f"whsec_{base64.b64encode(bytes(32)).decode()}"
NOW_S = 1_800_000_000
BODY = b'{"type":"realtime.call.incoming"}'
Headers = dict[str, str]


def signed(*, at_s: int = NOW_S, secret: str = SECRET, webhook_id: str = "wh_1") -> Headers:
    return WebhookSecret(secret).headers(webhook_id, BODY, at_s=at_s)


def verified(headers: Mapping[str, str], body: bytes = BODY) -> str:
    return WebhookSecret(SECRET).verified(headers, body, now_s=NOW_S)


def test_what_the_sender_signed_is_taken_under_its_id() -> None:
    assert verified(signed()) == "wh_1"


def test_the_vendors_own_client_takes_what_we_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: NOW_S)
    event = {
        "id": "evt_1",
        "object": "event",
        "created_at": NOW_S,
        "type": "realtime.call.incoming",
        "data": {"call_id": "rtc_1", "sip_headers": [{"name": "From", "value": "sip:+15550100@example.com"}]},
    }
    body = json.dumps(event)
    headers = WebhookSecret(SECRET).headers("wh_1", body.encode(), at_s=NOW_S)
    unwrapped = OpenAI(api_key="none").webhooks.unwrap(body, headers, secret=SECRET)
    assert unwrapped.type == "realtime.call.incoming" and unwrapped.data.call_id == "rtc_1"


@pytest.mark.parametrize("off_s", [-OLD_S_MAX, OLD_S_MAX])
def test_a_clock_may_be_off_by_minutes(off_s: int) -> None:
    assert verified(signed(at_s=NOW_S + off_s))


@pytest.mark.parametrize("off_s", [-OLD_S_MAX - 1, OLD_S_MAX + 1, -NOW_S])
def test_what_was_signed_long_ago_or_will_be_is_a_replay(off_s: int) -> None:
    with pytest.raises(WebhookRefused, match="within the last 300 s"):
        verified(signed(at_s=NOW_S + off_s))


def test_while_a_secret_is_rotated_either_signature_will_do() -> None:
    old, new = signed(secret=OTHER)["webhook-signature"], signed()["webhook-signature"]
    assert verified({**signed(), "webhook-signature": f"v1a,asym {old} {new}"})
    with pytest.raises(WebhookRefused, match="not by the secret"):
        verified({**signed(), "webhook-signature": f"{old} {old}"})


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("value", [None, "", " ", "v1,", "v2,AAAA", "१२३", "9" * 99, "x" * 999])
def test_a_header_that_is_missing_or_nonsense_is_refused(name: str, value: str | None) -> None:
    headers = signed()
    headers.pop(name)
    if value is not None:
        headers[name] = value
    with pytest.raises(WebhookRefused):
        verified(headers)


CHANGES: dict[str, Callable[[Headers, str], Headers]] = {
    "id": lambda headers, text: {**headers, "webhook-id": text},
    "time": lambda headers, text: {**headers, "webhook-timestamp": text},
    "signature": lambda headers, text: {**headers, "webhook-signature": text},
    "right kind of signature": lambda headers, text: {**headers, "webhook-signature": f"v1,{text}"},
}


@given(text=st.text(max_size=80), change=st.sampled_from(sorted(CHANGES)))
def test_nothing_else_is_taken_in_place_of_a_header(text: str, change: str) -> None:
    headers = CHANGES[change](signed(), text)
    if headers != signed():
        with pytest.raises(WebhookRefused):
            verified(headers)


@given(at=st.integers(0, len(BODY) - 1), bit=st.integers(0, 7))
def test_a_body_with_one_other_bit_is_refused(at: int, bit: int) -> None:
    other = bytearray(BODY)
    other[at] ^= 1 << bit
    with pytest.raises(WebhookRefused):
        verified(signed(), bytes(other))


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_!!!!", SECRET[:-16], "whsec_" + "A" * 99, "sk-canary"])
def test_what_is_no_secret_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="a webhook's secret is whsec_") as raised:
        WebhookSecret(text)
    assert text in ("", "whsec_") or text not in str(raised.value)
    assert SECRET not in repr(WebhookSecret(SECRET))


def test_these_tests_notice_a_receiver_that_does_not_look_at_the_signature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hmac.compare_digest", always(True))
    with pytest.raises(pytest.fail.Exception):
        test_a_body_with_one_other_bit_is_refused()
