"""Who gets in: keys, session tokens, owners. Asked of every route there is, so that a new one is asked."""

import asyncio
import logging
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Mount
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from agentfield_rt.config import Settings
from agentfield_rt.plane.access import ApiKeys, Caller, SessionTokens, require_protection
from agentfield_rt.plane.access.doors import Door, door_of
from agentfield_rt.plane.app import create_app
from agentfield_rt.plane.errors import Unprotected
from tests.plane.routes import WEBSOCKET, every_route
from tests.plane.serving import OFFER, Served, served

WEB, AGENTS, APPROVER = (f"{name}-{secrets.token_hex(16)}" for name in ("web", "agents", "approver"))
KEYS = {"web": WEB, "agents": AGENTS}
SECRETS = {name: SecretStr(key) for name, key in KEYS.items()}
PAGE = "https://app.example.com"

OPEN = {
    *{("GET", path) for path in ("/health", "/ready", "/metrics")},
    *{("GET", path) for path in ("/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json")},
    ("POST", "/api/v1/webhooks/{provider}"),
    ("POST", "/api/v1/telephony/{vendor}/{target}"),
    (WEBSOCKET, "/api/v1/telephony/{vendor}/{target}"),
}
"""What anybody may ask. A new route that is let in without a key turns up here, or this turns red."""

TOKEN_OPENS = {
    *{
        ("POST", f"/api/v1/{family}/{{session_id}}/{what}")
        for family in ("session-instances", "sessions")
        for what in ("realtime-offer", "tools/{tool}", "close")
    },
    *{
        ("POST", f"/api/v1/session-instances/{{session_id}}/{what}")
        for what in ("media-offer", "input", "interrupt")
    },
    ("GET", "/api/v1/session-instances/{session_id}/events"),
    (WEBSOCKET, "/api/v1/session-instances/{session_id}/media"),
}
"""What the token of a session opens, of that session."""

ROUTES = sorted(set(every_route(create_app([], settings=Settings()))))


@dataclass
class Guarded:
    """A server with keys, and two sessions on it."""

    server: Served
    mine: dict[str, Any]
    other: dict[str, Any]

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        body = None if method in ("GET", "DELETE") else {"text": "x", "decision": "granted"}
        return self.server.client.request(method, path, headers=headers, json=body)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    settings: dict[str, Any] = {"api_keys": KEYS, "approver_key": APPROVER, "cors_origins": [PAGE]}
    data = tmp_path_factory.mktemp("guarded")
    with pytest.MonkeyPatch.context() as patch, served(data, patch, **settings) as server:
        yield Guarded(server, _start(server, WEB), _start(server, AGENTS))


def _start(server: Served, key: str, target: str = "desk.phone") -> dict[str, Any]:
    answer = server.post(f"/api/v1/session-targets/{target}/start", headers={"X-API-Key": key})
    assert answer.status_code == 201, answer.text
    started: dict[str, Any] = answer.json()
    return started


def _filled(path: str, session: dict[str, Any]) -> str:
    given = {"session_id": session["session_id"], "run_id": session["run_id"], "tool": "double"}
    return re.sub(r"\{(\w+)\}", lambda name: given.get(name[1], "unknown"), path)


def _refusal_of_websocket(server: Served, path: str, headers: dict[str, str] | None = None) -> int:
    """The HTTP status that a websocket is refused with; 101 where it is let in."""
    try:
        with connect(f"ws{server.url[4:]}{path}", additional_headers=headers):
            return 101
    except InvalidStatus as refusal:
        return refusal.response.status_code


def test_a_websocket_that_is_refused_is_no_error_in_the_log(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"/api/v1/session-instances/{guarded.mine['session_id']}/media"
    assert _refusal_of_websocket(guarded.server, path) == 401
    assert guarded.ask("GET", "/health").status_code == 200  # the server is done with what came before
    assert [line.getMessage() for line in caplog.records if line.levelno >= logging.ERROR] == []


def _forgeries(guarded: Guarded) -> Iterator[dict[str, str]]:
    """What looks like a key or a token, and is none."""
    token: str = guarded.mine["session_token"]
    yield {}
    for forged in (WEB[:-1], f"{WEB}x", WEB.upper(), WEB[:8], "web", "", "null", "x" * 5_000, "é" * 20):
        yield {"X-API-Key": forged.encode()}  # type: ignore[dict-item]  # httpx takes bytes, too
    for scheme in ("Basic", "Token", "Bearer,"):
        yield {"Authorization": f"{scheme} {WEB}"}
    yield {"Authorization": f"Bearer {token[:-1]}"}
    yield {"Authorization": f"Bearer {token.swapcase()}"}
    yield {"Authorization": f"Bearer {guarded.mine['session_id']}"}
    yield {"Cookie": f"api_key={WEB}"}
    yield {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_route_lets_anybody_in_without_a_key_unless_it_was_decided(
    guarded: Guarded, method: str, path: str
) -> None:
    where = _filled(path, guarded.mine)
    if method == WEBSOCKET:
        status = _refusal_of_websocket(guarded.server, where)
        assert (status == 401) is ((method, path) not in OPEN)
        return
    if (method, path) in OPEN:
        assert guarded.ask(method, where).status_code != 401 or "webhook" in path
        return
    for headers in ({}, {"X-API-Key": f"{WEB}x"}):
        _assert_kept_out(guarded.ask(method, where, headers))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/session-targets"),
        ("POST", "/api/v1/sessions/desk.phone/start"),
        ("POST", "/api/v1/sessions/{session_id}/realtime-offer"),
        ("GET", "/api/v1/session-instances/{session_id}/events"),
        ("GET", "/api/v1/approvals"),
    ],
)
def test_what_looks_like_a_key_or_a_token_opens_no_kind_of_door(
    guarded: Guarded, method: str, path: str
) -> None:
    for headers in _forgeries(guarded):
        _assert_kept_out(guarded.ask(method, _filled(path, guarded.mine), headers))


def _assert_kept_out(answer: httpx.Response) -> None:
    assert answer.status_code == 401
    assert answer.json().keys() == {"error", "message"}
    assert answer.json()["error"] == "unauthorized"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), [each for each in ROUTES if each not in OPEN])
def test_a_session_token_opens_what_its_session_needs_and_nothing_else(
    guarded: Guarded, method: str, path: str
) -> None:
    """Asked about the other's session: what a token opens at all says that there is no such session."""
    headers = {"Authorization": f"Bearer {guarded.mine['session_token']}"}
    where = _filled(path, guarded.other)
    if method == WEBSOCKET:
        opened = _refusal_of_websocket(guarded.server, where, headers) != 401
    else:
        answer = guarded.ask(method, where, headers)
        opened = answer.status_code != 401
        assert not opened or answer.status_code == 404, "another session is as one that there is not"
    assert opened is ((method, path) in TOKEN_OPENS)


@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for method, path in ROUTES if "{session_id}" in path]
)
def test_another_key_s_session_is_answered_as_one_that_there_is_not(
    guarded: Guarded, method: str, path: str
) -> None:
    nobodys = {"session_id": "sess_nobody", "run_id": "run_nobody"}
    headers = {"X-API-Key": WEB}
    if method == WEBSOCKET:
        told = [_first_message(guarded.server, _filled(path, each)) for each in (guarded.other, nobodys)]
        assert told[0] == told[1].replace("sess_nobody", guarded.other["session_id"])
        return
    foreign = guarded.ask(method, _filled(path, guarded.other), headers)
    unknown = guarded.ask(method, _filled(path, nobodys), headers)
    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert foreign.text.replace(guarded.other["session_id"], "sess_nobody") == unknown.text


def _first_message(server: Served, path: str) -> str:
    with connect(f"ws{server.url[4:]}{path}?api_key={WEB}") as socket:
        return str(socket.recv(timeout=5))


def test_what_is_decided_is_about_routes_that_there_are() -> None:
    assert set(ROUTES) >= OPEN | TOKEN_OPENS


@pytest.mark.parametrize(
    "how",
    [
        {"headers": {"X-API-Key": WEB}},
        {"headers": {"Authorization": f"Bearer {WEB}"}},
        {"headers": {"authorization": f"bearer  {WEB}"}},
        {"params": {"api_key": WEB}},
    ],
)
def test_a_key_is_taken_as_agentfield_takes_it(guarded: Guarded, how: dict[str, Any]) -> None:
    assert guarded.server.get("/api/v1/session-targets", **how).status_code == 200


def test_each_key_lists_its_own_sessions_and_reads_its_own_workflows(guarded: Guarded) -> None:
    def listed(key: str) -> set[str]:
        answer = guarded.server.get("/api/v1/sessions", headers={"X-API-Key": key})
        return {session["session_id"] for session in answer.json()["sessions"]}

    mine, other = guarded.mine["session_id"], guarded.other["session_id"]
    assert (mine in listed(WEB), other in listed(WEB)) == (True, False)
    assert (mine in listed(AGENTS), other in listed(AGENTS)) == (False, True)
    query = {"resource": "sessions"}
    found = guarded.server.post("/api/v1/agentic/query", query, headers={"X-API-Key": WEB}).json()
    assert other not in {row["session_id"] for row in found["data"]["results"]}
    for resource in ("runs", "workflows"):
        found = guarded.server.post(
            "/api/v1/agentic/query", {"resource": resource}, headers={"X-API-Key": WEB}
        ).json()
        assert guarded.other["run_id"] not in str(found)
    dag = f"/api/ui/v1/workflows/{guarded.other['run_id']}/dag"
    assert guarded.server.get(dag, headers={"X-API-Key": WEB}).status_code == 404
    assert guarded.server.get(dag, headers={"X-API-Key": AGENTS}).status_code == 200


def test_a_token_uses_its_session_until_a_while_after_its_end(guarded: Guarded) -> None:
    started = _start(guarded.server, WEB)
    token = {"Authorization": f"Bearer {started['session_token']}"}
    path = f"/api/v1/session-instances/{started['session_id']}"
    typed = guarded.server.post(f"{path}/input", {"text": "hello"}, headers=token)
    assert typed.status_code == 202, typed.text
    assert guarded.server.post(f"{path}/close", headers=token).status_code == 200
    assert guarded.server.post(f"{path}/input", {"text": "hello"}, headers=token).status_code == 410
    events = guarded.server.client.get(f"{path}/events", params={"session_token": started["session_token"]})
    assert "session_ended" in events.text


def test_a_token_that_was_revoked_opens_nothing() -> None:
    tokens = SessionTokens()
    first = tokens.issue("sess_1")
    second = tokens.issue("sess_1")
    assert tokens.session_of(first) is None
    assert tokens.session_of(second) == "sess_1"
    tokens.revoke("sess_1")
    tokens.revoke("sess_1")
    assert tokens.session_of(second) is None
    assert len({tokens.issue(f"sess_{number}") for number in range(50)}) == 50


def test_a_session_that_is_too_old_ends_by_itself_and_says_so(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, served(tmp_path, patch, session_age_max_s=1.0) as server:
        session_id = server.start()
        with server.events(session_id) as events:
            assert events.kinds()[-1][1] == "session_ended"
        shown = server.get(f"/api/v1/session-instances/{session_id}").json()
        assert (shown["status"], shown["close_reason"]) == ("ended", "expired")
        offer = server.client.post(f"/api/v1/session-instances/{session_id}/media-offer", content=OFFER)
        assert offer.status_code == 410


def test_the_approvers_key_opens_the_approvals_only(guarded: Guarded) -> None:
    headers = {"X-API-Key": APPROVER}
    assert guarded.server.get("/api/v1/approvals", headers=headers).status_code == 200
    assert guarded.server.get("/api/v1/session-targets", headers=headers).status_code == 401
    assert guarded.server.get("/api/v1/approvals", headers={"X-API-Key": WEB}).status_code == 403


@pytest.mark.parametrize("origin", [f"{PAGE}.evil.example", "https://evil.example", "null", PAGE.upper()])
def test_pages_of_other_origins_may_nothing(guarded: Guarded, origin: str) -> None:
    headers = {"Origin": origin, "X-API-Key": WEB, "Access-Control-Request-Method": "POST"}
    target = "/api/v1/session-targets/desk.phone/start"
    assert guarded.server.post(target, headers=headers).status_code == 403
    asked = guarded.server.client.options(target, headers=headers)
    assert "access-control-allow-origin" not in asked.headers


def test_a_page_on_the_list_may_with_a_key_and_without_cookies(guarded: Guarded) -> None:
    target = "/api/v1/session-targets/desk.phone/start"
    asked = guarded.server.client.options(
        target,
        headers={
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, PAGE)
    assert asked.headers["access-control-max-age"] == "600"
    assert "access-control-allow-credentials" not in asked.headers
    answer = guarded.server.post(target, headers={"Origin": PAGE, "X-API-Key": WEB})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (201, PAGE)
    assert "Origin" in answer.headers["vary"]
    assert guarded.server.post(target, headers={"Origin": PAGE}).status_code == 401
    token = answer.json()["session_token"]
    media = f"/api/v1/session-instances/{answer.json()['session_id']}/media?session_token={token}"
    with connect(f"ws{guarded.server.url[4:]}{media}", origin=Origin(PAGE)) as socket:
        assert "ready" in str(socket.recv(timeout=5))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "voice.example.com", ""])
def test_a_server_without_keys_listens_to_its_own_machine_only(host: str) -> None:
    with pytest.raises(Unprotected, match="AGENTFIELD_RT_API_KEYS"):
        require_protection(Settings(host=host))
    require_protection(Settings(host=host, open_to_network=True))
    require_protection(Settings(host=host, api_keys=SECRETS))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_may_always_be_listened_to(host: str) -> None:
    require_protection(Settings(host=host))


@pytest.mark.parametrize(
    "keys", [{"web": "short"}, {"": WEB}, {"a b": WEB}, {"web": WEB, "also": WEB}, {"x" * 65: WEB}]
)
def test_keys_that_could_not_protect_anything_are_refused(keys: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"api_keys|API key") as refused:
        Settings(api_keys={name: SecretStr(key) for name, key in keys.items()})
    assert WEB not in str(refused.value)


@pytest.mark.parametrize("origin", ["*", "https://*.example.com", "app.example.com", f"{PAGE}/", "null"])
def test_origins_are_exact(origin: str) -> None:
    with pytest.raises(ValueError, match="cors_origins"):
        Settings(cors_origins=(origin,))


def test_keys_are_told_apart_by_name() -> None:
    keys = ApiKeys(SECRETS)
    assert (keys.name_of(WEB), keys.name_of(AGENTS), keys.name_of(f"{WEB}x")) == ("web", "agents", None)
    assert not ApiKeys({})


def test_whose_a_session_is() -> None:
    everybody, web, bearer = Caller(), Caller("web"), Caller(session_id="sess_1")
    assert all(everybody.may_use("sess_1", owner) for owner in (None, "web", "agents"))
    assert [web.may_use("sess_1", owner) for owner in (None, "web", "agents")] == [True, True, False]
    assert [bearer.may_use(session_id, "agents") for session_id in ("sess_1", "sess_2")] == [True, False]


def test_a_path_that_nobody_thought_of_needs_a_key() -> None:
    for path in ("/api/v1/new", "/api/v1/session-instances/x/new", "/api/v2/health", "/api/v1/webhooks"):
        assert door_of(path, "GET") is Door.KEY
    assert door_of("/new", "POST") is Door.KEY
    for path in ("/api/v1/session-instances/a/b/events", "/api/v1/session-instances//events"):
        assert door_of(path, "GET") is Door.KEY


@pytest.mark.asyncio
async def test_without_keys_everybody_is_let_in(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, served(tmp_path, patch) as server:
        answer = await asyncio.to_thread(server.get, "/api/v1/session-targets", headers={"X-API-Key": "any"})
        assert answer.status_code == 200


@pytest.mark.asyncio
@pytest.mark.parametrize("at", ["", "/voice", "/api/v1"])
async def test_a_plane_that_a_host_has_mounted_is_guarded_as_well(at: str) -> None:
    """Wherever it is: what is public is so by its path within the plane."""
    host = Starlette(routes=[Mount(at, create_app([], settings=Settings(api_keys=SECRETS)))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(host), base_url="http://localhost") as client:
        for path in ("/api/v1/session-targets", "/api/v1/executions/x", "/api/ui/v1/workflows/x/dag"):
            assert (await client.get(f"{at}{path}")).status_code == 401
        assert (await client.get(f"{at}/openapi.json")).status_code == 200


def test_a_poll_of_what_runs_is_answered_on_a_shorter_way_by_the_same_guard(guarded: Guarded) -> None:
    key = {"X-API-Key": AGENTS}
    running = guarded.server.post("/api/v1/execute/async/desk.waits", {"input": {}}, headers=key).json()
    path = f"/api/v1/executions/{running['execution_id']}"
    assert guarded.server.get(path, headers=key).status_code == 200
    token = {"Authorization": f"Bearer {guarded.mine['session_token']}"}
    for headers in ({}, {"X-API-Key": f"{WEB}x"}, token):
        _assert_kept_out(guarded.server.get(path, headers=headers))
