"""Both of AgentField's route families: what an offer claims, tools, lists, and sessions of yesterday."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentfield_rt import Agent, RealtimeSession
from tests.plane.serving import OFFER, Served, desk, served

FAMILIES = ("session-instances", "sessions")
NOT_MINE = (
    "session desk.phone is registered for provider=local transport=websocket; "
    "requested provider=local transport=webrtc"
)


@pytest.mark.parametrize(
    ("claims", "status", "says"),
    [
        ({"provider": "Acme"}, 400, "Unknown session provider 'Acme'."),
        ({"provider": "local", "transport": "pigeon"}, 400, "Unsupported session transport 'pigeon'"),
        ({"transport": "websocket"}, 400, "realtime-offer requires transport=webrtc"),
        ({"provider": "openrouter"}, 400, "Unsupported session transport 'webrtc' for provider 'openrouter'"),
        (
            {"provider": "openai"},
            400,
            "session desk.page is registered for provider=local transport=webrtc; req",
        ),
        ({"target": "page"}, 400, "session target must be <node>.<session>"),
        ({"target": "nobody.page"}, 404, "agent not found"),
        ({"target": "desk.nothing"}, 404, "session not registered"),
        ({"target": "desk.phone"}, 400, NOT_MINE),
    ],
)
def test_what_an_offer_claims_of_its_session_has_to_be_true(
    server: Served, claims: dict[str, str], status: int, says: str
) -> None:
    session_id = server.start("desk.page")
    for family in FAMILIES:
        answer = server.client.post(
            f"/api/v1/{family}/{session_id}/realtime-offer", params=claims, content=OFFER
        )
        assert (answer.status_code, says in answer.json()["error"]) == (status, True), answer.text


def test_an_offer_of_another_sessions_target_is_refused(tmp_path: Path) -> None:
    app = desk()

    async def waits(session: RealtimeSession) -> None:
        await session.input()

    app.session("other", provider="local", transport="webrtc")(waits)
    with pytest.MonkeyPatch.context() as patch, served(tmp_path, patch, agents=[app]) as server:
        session_id = server.start("desk.page")
        answer = server.client.post(
            f"/api/v1/sessions/{session_id}/realtime-offer", params={"target": "desk.other"}, content=OFFER
        )
        assert (answer.status_code, "is one of desk.page, not of desk.other" in answer.text) == (400, True)


def test_the_address_that_a_start_gives_takes_the_offer_whatever_else_it_says(server: Served) -> None:
    for more in ("", "&model=&voice=&unknown=x"):
        started = server.post("/api/v1/sessions/desk.page/start").json()
        answer = server.client.post(started["offer_url"] + more, content=OFFER)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/sdp")


def test_a_pair_that_does_not_exist_is_repeated_for_programs(server: Served) -> None:
    body = {"provider": "Acme", "transport": "WebRTC"}
    answer = server.post("/api/v1/sessions/desk.phone/start", body).json()
    assert (answer["provider"], answer["transport"]) == ("Acme", "WebRTC")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tool", ["double", "desk.double"])
def test_a_tool_has_its_own_name_and_its_whole_one(server: Served, family: str, tool: str) -> None:
    path = f"/api/v1/{family}/{server.start()}/tools/{tool}"
    accepted = server.post(path, {"input": {"number": 4}})
    assert accepted.status_code == 202, accepted.text
    assert server.finished(accepted.json()["execution_id"])["result"] == 8


@pytest.mark.parametrize(
    "tool",
    [
        "Double", "DOUBLE", "double ", " double", "doubl\u0435", "d\u200bouble", "double\u0000", "double\n",
        "desk.double ", "Desk.double", "desk.Double", "desk..double", "desk.double.", "*", "desk.*",
        "doubl%65x", "../double", "\uff44ouble", "desk.fails",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_tool_of_the_list_is_refused_and_journaled(server: Served, tool: str) -> None:
    session_id = server.start()
    path = f"/api/v1/session-instances/{session_id}/tools/x"
    refused = server.post(path, {"target": tool, "input": {"number": 4}})
    assert (refused.status_code, "is not allowed in this session" in refused.json()["error"]) == (403, True)
    server.post(f"/api/v1/session-instances/{session_id}/close")
    with server.events(session_id) as events:
        kinds = [kind for _, kind in events.kinds()]
    assert kinds.count("realtime_policy_denied") == 1
    assert "execution_queued" not in kinds


def test_the_same_call_under_one_key_runs_once(server: Served) -> None:
    session_id = server.start()
    path, key = f"/api/v1/session-instances/{session_id}/tools/double", {"Idempotency-Key": "once"}
    bodies: list[dict[str, Any]] = [{"input": {"number": 4}}] * 3
    answers = [server.post(path, body, headers=key) for body in bodies]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["execution_id"] for answer in answers}) == 1
    for other in ({"input": {"number": 5}}, {"input": {"number": 4}, "target": "desk.double"}):
        refused = server.post(path, other, headers=key)
        assert (refused.status_code, "Idempotency-Key was used for another call" in refused.text) == (
            409,
            True,
        )
    elsewhere = f"/api/v1/session-instances/{server.start()}/tools/double"
    assert server.post(elsewhere, {"input": {"number": 5}}, headers=key).status_code == 202
    another = server.post(path, {"input": {"number": 4}}, headers={"Idempotency-Key": "twice"}).json()
    assert another["execution_id"] != answers[0].json()["execution_id"]


@pytest.mark.parametrize("key", ["", "two words", "x" * 129])
def test_a_key_that_is_none_is_refused(server: Served, key: str) -> None:
    path = f"/api/v1/session-instances/{server.start()}/tools/double"
    answer = server.post(path, {"input": {"number": 4}}, headers={"Idempotency-Key": key})
    assert answer.status_code == 400


def test_a_call_that_was_refused_may_be_tried_again_under_its_key(server: Served) -> None:
    path, key = f"/api/v1/session-instances/{server.start()}/tools/fails", {"Idempotency-Key": "once"}
    assert [server.post(path, {}, headers=key).status_code for _ in range(2)] == [403, 403]


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"input": {"number": NaN}}', b'{"input": {"number": -Infinity}}', b"\xff"]
)
def test_a_tool_call_that_is_no_json_is_refused_in_agentfields_words(server: Served, body: bytes) -> None:
    answer = server.client.post(f"/api/v1/sessions/{server.start()}/tools/double", content=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid JSON body")


def test_sessions_are_listed_the_newest_first(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, served(tmp_path, patch) as server:
        first, second, third = server.start(), server.start("desk.page"), server.start()
        server.post(f"/api/v1/sessions/{first}/close")

        def listed(**query: Any) -> list[str]:
            answers = [server.get(f"/api/v1/{family}", params=query) for family in FAMILIES]
            assert {answer.status_code for answer in answers} == {200}
            assert answers[0].json() == answers[1].json()
            return [session["session_id"] for session in answers[0].json()["sessions"]]

        assert listed() == [third, second, first]
        assert listed(status="live") == [third, second]
        assert listed(status="ended") == [first]
        assert listed(target="desk.page") == [second]
        assert listed(limit=1, offset=1) == [second]
        page = server.get("/api/v1/sessions", params={"limit": 1}).json()
        assert (page["total"], page["limit"], page["offset"]) == (3, 1, 0)
        for wrong in ({"limit": 0}, {"limit": 501}, {"status": "dead"}, {"offset": -1}):
            assert server.get("/api/v1/sessions", params=wrong).status_code == 400


def test_a_session_of_an_earlier_process_is_shown_and_replayed_and_takes_nothing_more(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, served(tmp_path, patch) as server:
        session_id = server.start()
        server.post(f"/api/v1/sessions/{session_id}/input", {"text": "hello"})
    with pytest.MonkeyPatch.context() as patch, served(tmp_path, patch) as server:
        path = f"/api/v1/session-instances/{session_id}"
        shown = server.get(path).json()
        assert (shown["status"], shown["target"], shown["close_reason"]) == (
            "ended",
            "desk.phone",
            "shutdown",
        )
        with server.events(session_id) as events:
            records = events.kinds()
        assert [number for number, _ in records] == list(range(1, len(records) + 1))
        assert (records[0][1], records[-2][1]) == ("session_started", "session_ended")
        with server.events(session_id, after=records[-2][0]) as events:
            assert events.kinds() == records[-1:]
        assert server.get(f"{path}/verify").json()["ok"]
        assert server.get(f"{path}/timeline.svg").status_code == 200
        over = f"session {session_id} is over; start a new one"
        posts: list[Callable[[], Any]] = [
            lambda: server.client.post(f"{path}/realtime-offer", content=OFFER),
            lambda: server.client.post(f"{path}/media-offer", content=OFFER),
            lambda: server.post(f"{path}/tools/double", {"input": {"number": 4}}),
            lambda: server.post(f"{path}/input", {"text": "hello"}),
            lambda: server.post(f"{path}/interrupt"),
            lambda: server.post(f"{path}/close"),
        ]
        for post in posts:
            answer = post()
            assert (answer.status_code, answer.json()) == (410, {"error": over})


def test_starting_tells_when_it_ends_and_gives_a_token_each_time(server: Served) -> None:
    first, second = (server.post("/api/v1/sessions/desk.phone/start").json() for _ in range(2))
    assert first["expires_at"] > first["created_at"]
    assert first["session_token"].startswith("sst_")
    assert first["session_token"] != second["session_token"]
    shown = server.get(f"/api/v1/session-instances/{first['session_id']}").text
    assert first["session_token"] not in shown


@pytest.mark.asyncio
async def test_two_calls_under_one_key_at_the_same_time_are_one(tmp_path: Path) -> None:
    app, begun = Agent("desk"), 0

    @app.reasoner()
    async def slow() -> int:
        nonlocal begun
        begun += 1
        return begun

    async def waits(session: RealtimeSession) -> None:
        await session.input()

    app.session("phone", provider="local", transport="websocket", tools=["slow"])(waits)
    with pytest.MonkeyPatch.context() as patch, served(tmp_path, patch, agents=[app]) as server:
        path = f"/api/v1/sessions/{await asyncio.to_thread(server.start)}/tools/slow"
        key = {"Idempotency-Key": "once"}
        answers = await asyncio.gather(
            *(asyncio.to_thread(server.post, path, {"input": {}}, headers=key) for _ in range(8))
        )
        assert len({answer.json()["execution_id"] for answer in answers}) == 1
