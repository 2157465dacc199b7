"""Phone calls from the ring to the end: answered by a session, or refused with the reason."""

import re
from pathlib import Path
from typing import Any

import pytest

from agentfield_adapters.local.pytest_plugin import af_provider, af_provider_process
from agentfield_adapters.local.running import LocalProvider
from agentfield_rt import RealtimeSession
from tests.phone.stage import (
    NUMBER,
    connected,
    dial,
    incoming,
    kinds,
    plane,
    records,
    session_ids,
    shop,
    signed,
    until,
)

__all__ = ["af_provider", "af_provider_process"]  # also in an environment older than the plugin


def test_a_phone_that_rings_is_answered_heard_and_spoken_to_until_the_caller_hangs_up(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    af_provider.set_scenario("senses: synthetic\ntranscripts: [please look up Coffee]\n")
    with plane(tmp_path, monkeypatch, af_provider) as server:
        phone = dial(af_provider, server)
        assert phone.webhook_status == 202
        session_id = connected(server)
        shown = server.get(f"/api/v1/session-instances/{session_id}").json()
        phone.say("hello there")
        found = records(server, session_id, until="utterance_played")
        phone.hang_up()
        found = records(server, session_id, until="session_ended")
    assert shown["metadata"] == {"phone": {"from": "+15550199", "to": NUMBER}}
    said = next(record for record in found if record["kind"] == "utterance_requested")
    assert said["content"][said["data"]["text_ref"]] == "You said please look up Coffee."
    assert found[-1]["data"] == {"reason": "caller_gone"}
    assert until(phone, "ended")
    # Which silence ends a turn cannot be said when the phone is answered, and is said right afterwards.
    (update,) = af_provider.received("session.update", setup="call")
    assert update["session"]["audio"]["input"]["turn_detection"]["silence_duration_ms"]


def test_the_model_calls_a_tool_on_the_phone_too(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def replies(session: RealtimeSession) -> None:
        async for _ in session.turns():
            await session.reply("Answer briefly.")

    af_provider.set_scenario("senses: synthetic\ntranscripts: [please look up Coffee]\n")
    with plane(tmp_path, monkeypatch, af_provider, agent=shop(replies)) as server:
        phone = dial(af_provider, server)
        session_id = connected(server)
        phone.say("hello there")
        found = records(server, session_id, until="tool_result_recorded")
        phone.hang_up()
    assert kinds(found).count("execution_succeeded") == 1


@pytest.mark.parametrize(
    ("targets", "settings", "status"),
    [
        ({}, {}, 404),
        ({"+15550111": "shop.desk"}, {}, 404),
        ({"*": "shop.nobody"}, {}, 404),
        ({NUMBER: "shop.desk", "*": "shop.nobody"}, {"sessions_max": 1}, 486),
    ],
    ids=["no targets", "another number", "no such session", "full"],
)
def test_a_call_that_nobody_answers_is_refused_with_the_reason(
    targets: dict[str, str],
    settings: dict[str, Any],
    status: int,
    af_provider: LocalProvider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with plane(tmp_path, monkeypatch, af_provider, targets=targets, **settings) as server:
        if settings:
            server.start("shop.desk")
        phone = dial(af_provider, server)
        assert phone.webhook_status == 202
        assert until(phone, "refused")["sip_status"] == status


def test_a_session_of_another_transport_answers_no_phone(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plane(tmp_path, monkeypatch, af_provider, agent=shop(transport="websocket")) as server:
        phone = dial(af_provider, server)
        assert until(phone, "refused")["sip_status"] == 480
        assert session_ids(server) == []


@pytest.mark.parametrize(
    ("fault", "state", "reason"),
    [
        ("status=400,where=accept", "refused", "provider_failure"),
        ("status=503,where=accept", "refused", "provider_failure"),
        ("refuse,where=accept", "refused", "provider_failure"),
        ("status=404,where=accept", "ringing", "caller_gone"),
        ("status=404,where=sideband", "ended", "caller_gone"),
    ],
)
def test_a_call_that_cannot_be_answered_does_not_ring_on_and_its_session_ends(
    fault: str,
    state: str,
    reason: str,
    af_provider: LocalProvider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with plane(tmp_path, monkeypatch, af_provider, fault) as server:
        phone = dial(af_provider, server)
        found = records(server, session_ids(server)[0], until="session_ended")
        assert phone.state()["state"] == state
    assert found[-1]["data"] == {"reason": reason}


def test_a_caller_who_hangs_up_before_the_answer_leaves_a_session_that_says_so(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plane(tmp_path, monkeypatch, af_provider, targets={}) as server:
        phone = dial(af_provider, server)
        until(phone, "refused")
    with plane(tmp_path / "later", monkeypatch, af_provider) as server:
        body = incoming(phone.call_id)
        answer = server.client.post("/api/v1/webhooks/local", content=body, headers=signed(body))
        assert answer.status_code == 202
        found = records(server, session_ids(server)[0], until="session_ended")
    assert found[-1]["data"] == {"reason": "caller_gone"}


PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "answer-sip-calls.md"


def test_the_handler_that_the_how_to_shows_answers_and_hands_on(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(shown.replace('provider="openai"', 'provider="local"'), names)
    af_provider.set_scenario("senses: synthetic\ntranscripts: [hello, a person please]\n")
    with plane(tmp_path, monkeypatch, af_provider, agent=names["app"], targets={"*": "shop.phone"}) as server:
        phone = dial(af_provider, server)
        session_id = connected(server)
        phone.say("anything")
        records(server, session_id, until="utterance_played")
        phone.say("anything else")
        assert until(phone, "referred")["referred_to"] == "tel:+15550123"


def test_what_the_caller_dials_is_gathered(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asks(session: RealtimeSession) -> None:
        gathered = await session.gather_digits(max_digits=4, timeout_s=30, end_on="#")
        await session.say(f"You dialled {gathered.digits}.")
        await session.close()

    with plane(tmp_path, monkeypatch, af_provider, agent=shop(asks)) as server:
        phone = dial(af_provider, server)
        session_id = connected(server)
        phone.press("42#")
        found = records(server, session_id, until="session_ended")
    said = next(record for record in found if record["kind"] == "utterance_requested")
    assert said["content"][said["data"]["text_ref"]] == "You dialled 42."
    assert kinds(found).count("caller_digit_received") == 3
