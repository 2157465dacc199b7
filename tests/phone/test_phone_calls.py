"""Phone calls from the ring to the end, through a plane that is served and the provider of this machine."""

import asyncio
import base64
import json
import re
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentfield_adapters.local.pytest_plugin import af_provider, af_provider_process
from agentfield_adapters.local.running import LocalPhone, LocalProvider
from agentfield_journal import open_journal
from agentfield_rt import Agent, IllegalCommand, ProviderError, RealtimeSession, UnsupportedTransport
from agentfield_rt.plane import providers
from agentfield_rt.registry import adapter_factory
from agentfield_rt.webhooks import WebhookSecret
from tests.controller.planting import always
from tests.plane.serving import Served, served

__all__ = ["af_provider", "af_provider_process"]  # also in an environment older than the plugin

SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"
OTHER_SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"
NUMBER = "+15550100"


Handler = Callable[[RealtimeSession], Awaitable[None]]


async def echo(session: RealtimeSession) -> None:
    """Says what it heard."""
    async for turn in session.turns():
        await session.say(f"You said {turn.text}.")


def shop(handler: Handler = echo, *, transport: str = "webrtc") -> Agent:
    """Answers the telephone."""
    app = Agent("shop")

    @app.reasoner()
    async def look_up(query: str = "") -> str:
        return "three euros"

    app.session("desk", provider="local", transport=transport, tools=["shop.look_up"])(handler)
    return app


@contextmanager
def plane(
    data: Path,
    patch: pytest.MonkeyPatch,
    provider: LocalProvider,
    *faults: str,
    agent: Agent | None = None,
    targets: dict[str, str] | None = None,
    **settings: Any,
) -> Generator[Served]:
    local_url = provider.base_url(*faults, name="call").removesuffix("/v1")
    with served(
        data,
        patch,
        agents=[agent or shop()],
        local_url=local_url,
        local_webhook_secret=SECRET,
        phone_targets={"*": "shop.desk"} if targets is None else targets,
        **settings,
    ) as server:
        patch.setattr(providers, "adapter_factory", adapter_factory)
        yield server


def dial(provider: LocalProvider, server: Served, *, secret: str = SECRET) -> LocalPhone:
    url = f"{server.url}/api/v1/webhooks/local"
    return provider.dial(NUMBER, caller="+15550199", webhook_url=url, webhook_secret=secret)


def records(server: Served, session_id: str, *, until: str) -> list[dict[str, Any]]:
    """What is journaled up to the first record of a kind."""
    found: list[dict[str, Any]] = []
    with server.events(session_id) as events:
        for event, _, data in events:
            if event == "record":
                found.append(json.loads(data))
                if found[-1]["kind"] == until:
                    break
    return found


def kinds(found: Sequence[dict[str, Any]]) -> list[str]:
    return [record["kind"] for record in found]


async def _session_ids(data: Path) -> list[str]:
    async with open_journal(f"sqlite:///{data / 'journal.db'}", read_only=True) as journal:
        first = [await journal.read(run_id, limit=1) for run_id in await journal.run_ids()]
    return [envelope.session_id for (envelope,) in first if envelope.session_id is not None]


def session_ids(server: Served) -> list[str]:
    """The sessions that are in the journal. The one that answers a call is, once its webhook is answered."""
    return asyncio.run(_session_ids(server.data))


def until(phone: LocalPhone, state: str) -> dict[str, Any]:
    """What became of a call, once it came to this."""
    while (told := phone.state())["state"] != state:
        assert told["state"] in ("ringing", "answered"), told
    return told


def test_a_phone_that_rings_is_answered_heard_and_spoken_to_until_the_caller_hangs_up(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    af_provider.set_scenario("senses: synthetic\ntranscripts: [please look up Coffee]\n")
    with plane(tmp_path, monkeypatch, af_provider) as server:
        phone = dial(af_provider, server)
        assert phone.webhook_status == 202
        (session_id,) = session_ids(server)
        until(phone, "answered")
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
        (session_id,) = session_ids(server)
        until(phone, "answered")
        phone.say("hello there")
        found = records(server, session_id, until="tool_result_recorded")
        phone.hang_up()
    assert kinds(found).count("execution_succeeded") == 1


def test_a_call_is_handed_on_with_an_intent_and_an_outcome_and_its_target_is_content(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hands_on(session: RealtimeSession) -> None:
        await session.say("One moment.")
        await session.refer("tel:+15550123")

    with plane(tmp_path, monkeypatch, af_provider, agent=shop(hands_on)) as server:
        phone = dial(af_provider, server)
        (session_id,) = session_ids(server)
        found = records(server, session_id, until="session_ended")
        told = until(phone, "referred")
    requested, done = [record for record in found if "refer" in record["kind"]]
    assert (requested["kind"], done["kind"]) == ("realtime_refer_requested", "realtime_referred")
    assert requested["content"][requested["data"]["target_ref"]] == "tel:+15550123"
    assert told["referred_to"] == "tel:+15550123"
    assert found[-1]["data"] == {"reason": "caller_gone"}


@pytest.mark.parametrize(
    ("fault", "not_done", "closer"),
    [
        ("status=404,where=refer", True, "realtime_refer_failed"),
        ("status=504,where=refer", False, "realtime_refer_unknown"),
        ("refuse,where=refer", False, "realtime_refer_unknown"),
    ],
)
def test_a_call_that_could_not_be_handed_on_goes_on_and_its_handler_knows_why(
    fault: str,
    not_done: bool,
    closer: str,
    af_provider: LocalProvider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raised: list[ProviderError] = []

    async def tries(session: RealtimeSession) -> None:
        try:
            await session.refer("tel:+15550123")
        except ProviderError as error:
            raised.append(error)
            await session.say("Nobody is there.")
            await session.refer("tel:+15550123")

    with plane(tmp_path, monkeypatch, af_provider, fault, agent=shop(tries)) as server:
        phone = dial(af_provider, server)
        (session_id,) = session_ids(server)
        found = records(server, session_id, until="session_ended")
        until(phone, "referred")
    assert [error.not_done for error in raised] == [not_done]
    referring = [kind for kind in kinds(found) if "refer" in kind]
    assert referring == ["realtime_refer_requested", closer, "realtime_refer_requested", "realtime_referred"]
    assert "utterance_played" in kinds(found)


NO_ADDRESSES = [
    "",
    "+15550123",
    "tel:",
    "tel:+1555 0123",
    "sip:",
    "sip:a\nb",
    "https://x",
    "sip:<a@b>",
    "tel:" + "1" * 99,
]


def test_what_is_no_address_is_refused_before_anything_is_written(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tries(session: RealtimeSession) -> None:
        for target in NO_ADDRESSES:
            with pytest.raises(IllegalCommand, match="tel:"):
                await session.refer(target)
        await session.close()

    with plane(tmp_path, monkeypatch, af_provider, agent=shop(tries)) as server:
        dial(af_provider, server)
        found = records(server, session_ids(server)[0], until="session_ended")
    assert not [kind for kind in kinds(found) if "refer" in kind]
    assert found[-1]["data"] == {"reason": "normal"}


def test_a_session_without_a_telephone_hands_nothing_on(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tries(session: RealtimeSession) -> None:
        with pytest.raises(UnsupportedTransport, match="only a phone call"):
            await session.refer("tel:+15550123")
        await session.close()

    with plane(tmp_path, monkeypatch, af_provider, agent=shop(tries, transport="websocket")) as server:
        session_id = server.start("shop.desk")
        server.post(f"/api/v1/session-instances/{session_id}/input", {"text": "hello"})
        found = records(server, session_id, until="session_ended")
    assert found[-1]["data"] == {"reason": "normal"}


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


def incoming(call_id: str) -> bytes:
    return json.dumps({"type": "realtime.call.incoming", "data": {"call_id": call_id}}).encode()


def signed(body: bytes, *, secret: str = SECRET, webhook_id: str = "wh_1", ago_s: int = 0) -> dict[str, str]:
    return WebhookSecret(secret).headers(webhook_id, body, at_s=int(time.time()) - ago_s)


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
        (session_id,) = session_ids(server)
        until(phone, "answered")
        phone.say("anything")
        records(server, session_id, until="utterance_played")
        phone.say("anything else")
        assert until(phone, "referred")["referred_to"] == "tel:+15550123"
