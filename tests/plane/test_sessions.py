"""Sessions over HTTP: start, offer, input, tools, close, and every refusal."""

import secrets
from pathlib import Path

import pytest

from agentfield_journal import JournalFull, open_journal, verify
from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.plane import providers
from agentfield_rt.plane.errors import SessionNotFound
from agentfield_rt.plane.runs import Runs
from agentfield_rt.ports import AdapterFactory, Connection, ConnectRequest
from tests.plane.serving import OFFER, Served, served

UNKNOWN = "sess_nobody"


def test_a_session_says_where_everything_is(server: Served) -> None:
    answer = server.post("/api/v1/session-targets/desk.phone/start", {"voice": "", "model": "m1"})
    body = answer.json()
    assert answer.status_code == 201
    session_id = body["session_id"]
    assert body["offer_url"] == (
        f"/api/v1/session-instances/{session_id}/realtime-offer"
        "?model=m1&provider=local&target=desk.phone&transport=websocket&voice="
    )
    assert body["tool_url"] == f"/api/v1/session-instances/{session_id}/tools/{{tool}}"
    assert body["tool_targets"] == {"double": "desk.double"}
    assert (body["provider"], body["transport"], body["voice"]) == ("local", "websocket", None)
    assert body["run_id"] == session_id.replace("sess_", "run_")
    shown = server.get(f"/api/v1/session-instances/{session_id}").json()
    assert (shown["phase"], shown["close_reason"]) == ("idle", None)


def test_session_ids_cannot_be_guessed(server: Served) -> None:
    ids = {server.start() for _ in range(5)}
    assert len(ids) == 5
    assert all(len(session_id.rpartition("_")[2]) >= 32 for session_id in ids)


@pytest.mark.parametrize(
    ("target", "body", "status", "says"),
    [
        ("phone", None, 400, "session target must be <node>.<session>"),
        ("nobody.phone", None, 404, "agent not found"),
        ("desk.nothing", None, 404, "session not registered"),
        (
            "desk.phone",
            {"transport": "webrtc"},
            400,
            "session desk.phone is registered for provider=local transport=websocket; "
            "requested provider=local transport=webrtc",
        ),
        (
            "desk.phone",
            {"provider": "Acme"},
            400,
            "Unknown session provider 'Acme'. Known providers: local, openai, openrouter. "
            "Register provider capabilities before using a custom session provider.",
        ),
    ],
)
def test_what_cannot_be_started_is_refused_in_agentfields_words(
    server: Served, target: str, body: dict[str, str] | None, status: int, says: str
) -> None:
    for family in ("session-targets", "sessions"):
        answer = server.post(f"/api/v1/{family}/{target}/start", body)
        assert (answer.status_code, answer.json()["error"]) == (status, says)


def test_an_offer_is_answered_once(server: Served) -> None:
    session_id = server.start("desk.page")
    path = f"/api/v1/session-instances/{session_id}/realtime-offer"
    headers = {"Content-Type": "application/sdp"}
    answer = server.client.post(path, content=OFFER, headers=headers)
    assert (answer.status_code, answer.text) == (200, "v=0\r\ns=answer\r\n")
    assert answer.headers["content-type"].startswith("application/sdp")
    second = server.client.post(path, content=OFFER, headers=headers)
    assert (second.status_code, "has had its offer" in second.json()["error"]) == (409, True)
    server.post(f"/api/v1/session-instances/{session_id}/close")
    third = server.client.post(path, content=OFFER, headers=headers)
    assert (third.status_code, "is over" in third.json()["error"]) == (410, True)


@pytest.mark.parametrize(
    ("offer", "says"),
    [
        (b"", "SDP offer body is required"),
        (b"{}", "does not begin with v=0"),
        (b"v=0\r\n\x00\x01", "line that is not of the form"),
        ("v=0\r\ns=\u00e9".encode(), "not plain ASCII"),
        (b"v=0\r\ns=-\r\n", "exactly one audio section"),
        (OFFER.encode() + b"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", "exactly one audio section"),
        (OFFER.replace("a=ice-ufrag:abcd\r\n", "").encode(), "lacks a=ice-ufrag"),
        (OFFER.encode() + b"a=x\r\n" * 700, "more than 600 lines"),
        (OFFER.encode() + b"a=" + b"x" * 3000, "a line over 2048"),
        (b"v=0\r\n" + b"a" * 65_536, "larger than 65536 bytes"),
    ],
)
def test_an_offer_that_is_none_is_refused_and_leaves_the_session_usable(
    server: Served, offer: bytes, says: str
) -> None:
    session_id = server.start("desk.page")
    path = f"/api/v1/session-instances/{session_id}/realtime-offer"
    answer = server.client.post(path, content=offer)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert server.client.post(path, content=OFFER).status_code == 200


def test_an_offer_that_the_provider_refuses_is_the_callers_fault(server: Served) -> None:
    session_id = server.start("desk.page")
    path = f"/api/v1/session-instances/{session_id}/realtime-offer"

    async def refuse(request: ConnectRequest) -> Connection:
        raise ProviderError("the provider answered HTTP 400", reason=Reason.INVALID_REQUEST)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.adapters[-1], "connect", refuse)
        answer = server.client.post(path, content=OFFER)
    assert (answer.status_code, "HTTP 400; was the SDP offer made by" in answer.json()["error"]) == (
        400,
        True,
    )
    assert server.client.post(path, content=OFFER).status_code == 200


def test_a_full_disk_is_said_to_be_full(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(runs: Runs, run_id: str) -> None:
        raise JournalFull("the disk is full; free some room")

    monkeypatch.setattr(Runs, "hold", full)
    answer = server.post("/api/v1/session-targets/desk.phone/start")
    assert (answer.status_code, answer.json()["error"]) == (507, "the disk is full; free some room")


def test_an_offer_is_for_webrtc_only(server: Served) -> None:
    path = f"/api/v1/session-instances/{server.start()}/realtime-offer"
    answer = server.client.post(path, content=OFFER)
    assert (answer.status_code, answer.json()["error"]) == (400, "realtime-offer requires transport=webrtc")


def test_a_typed_turn_runs_through_the_workflow(server: Served) -> None:
    session_id = server.start()
    with server.events(session_id) as events:
        turn_id = server.post(f"/api/v1/session-instances/{session_id}/input", {"text": "abc"}).json()[
            "turn_id"
        ]
        kinds = [kind for _, kind in events.kinds(until="utterance_played")]
    assert {"turn_started", "execution_queued", "execution_succeeded", "utterance_requested"} <= set(kinds)
    run_id = session_id.replace("sess_", "run_")
    dag = server.get(f"/api/ui/v1/workflows/{run_id}/dag").json()
    assert (dag["dag"]["execution_id"], dag["max_depth"]) == (session_id, 3)
    turn = dag["dag"]["children"][0]
    assert turn["execution_id"] == turn_id
    assert turn["children"][0]["reasoner_id"] == "resolve"
    assert turn["children"][0]["children"][0]["reasoner_id"] == "double"


def test_only_listed_tools_run_and_only_while_the_session_lives(server: Served) -> None:
    session_id = server.start()
    path = f"/api/v1/session-instances/{session_id}/tools"
    accepted = server.post(f"{path}/double", {"input": {"number": 4}})
    assert accepted.status_code == 202
    assert server.finished(accepted.json()["execution_id"])["result"] == 8
    for tool, body in (
        ("resolve", {}),
        ("desk.resolve", {}),
        ("double", {"target": "desk.resolve"}),
        ("x", {"target": "nobody.x"}),
    ):
        refused = server.post(f"{path}/{tool}", body)
        assert refused.status_code == 403, tool
        assert "is not allowed in this session; allowed: desk.double" in refused.json()["error"]
    server.post(f"/api/v1/session-instances/{session_id}/close")
    assert server.post(f"{path}/double", {"input": {"number": 4}}).status_code == 410


def test_closing_again_answers_the_same(server: Served) -> None:
    path = f"/api/v1/session-instances/{server.start()}/close"
    answers = [server.post(path) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "realtime-offer"),
        ("POST", "tools/double"),
        ("POST", "close"),
        ("POST", "interrupt"),
        ("GET", "events"),
        ("GET", "verify"),
        ("GET", ""),
    ],
)
def test_an_unknown_session_is_not_found_and_says_what_to_do(server: Served, method: str, path: str) -> None:
    answer = server.client.request(
        method, f"/api/v1/session-instances/{UNKNOWN}/{path}".rstrip("/"), json={"text": "x"}
    )
    assert answer.status_code == 404
    assert answer.json() == {"error": str(SessionNotFound(UNKNOWN))}


@pytest.mark.parametrize(
    "body", [{}, {"text": ""}, {"text": "x" * 4_001}, {"text": "x", "colour": "SECRET"}, []]
)
def test_input_that_is_none_is_refused_without_an_echo(server: Served, body: object) -> None:
    answer = server.post(f"/api/v1/session-instances/{server.start()}/input", body)
    assert answer.status_code == 400
    assert "SECRET" not in answer.text


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(server: Served) -> None:
    path = f"/api/v1/session-instances/{server.start()}/input"
    huge = b'{"text": "' + b"x" * 300_000 + b'"}'
    assert server.client.post(path, content=huge).status_code == 413

    def in_pieces() -> list[bytes]:
        return [huge[at : at + 10_000] for at in range(0, len(huge), 10_000)]

    answer = server.client.post(path, content=iter(in_pieces()), headers={"Content-Type": "application/json"})
    assert (answer.status_code, "larger than" in answer.json()["error"]) == (413, True)
    assert server.client.post(f"{path[:-5]}close", content=iter(in_pieces())).status_code == 413
    assert server.get("/health").status_code == 200


def test_an_error_nobody_foresaw_is_answered_as_json_and_says_nothing_of_itself(tmp_path: Path) -> None:
    def broken(provider: str, transport: str) -> AdapterFactory:
        raise RuntimeError("SECRET")

    with pytest.MonkeyPatch.context() as patch, served(tmp_path, patch) as server:
        patch.setattr(providers, "adapter_factory", broken)
        answer = server.post("/api/v1/session-targets/desk.phone/start")
    assert (answer.status_code, "SECRET" in answer.text) == (500, False)
    assert "internal error" in answer.json()["error"]


def test_another_host_name_is_refused(server: Served) -> None:
    answer = server.get("/api/v1/session-targets", headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert server.get("/api/v1/session-targets", headers={"Host": "localhost:1"}).status_code == 200


def test_answers_carry_the_headers_that_keep_a_browser_safe(server: Served) -> None:
    headers = server.get("/api/v1/session-targets").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'self'" in headers["Content-Security-Policy"]


def test_no_more_sessions_than_may_live(tmp_path_factory: pytest.TempPathFactory) -> None:
    data = tmp_path_factory.mktemp("few")
    with pytest.MonkeyPatch.context() as patch, served(data, patch, sessions_max=2) as server:
        first, _ = server.start(), server.start()
        refused = server.post("/api/v1/session-targets/desk.phone/start")
        assert (refused.status_code, "2 sessions are live" in refused.json()["error"]) == (503, True)
        server.post(f"/api/v1/session-instances/{first}/close")
        server.start()


@pytest.mark.asyncio
async def test_stopping_the_server_ends_every_session_and_run_and_the_journal_verifies(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    data = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch, served(data, patch) as server:
        for _ in range(3):
            session_id = server.start()
            server.post(f"/api/v1/session-instances/{session_id}/input", {"text": secrets.token_hex(4)})
        waiting = server.post("/api/v1/execute/async/desk.waits", {"input": {}}).json()["run_id"]
    async with open_journal(f"sqlite:///{data}/journal.db", read_only=True) as journal:
        assert (await verify(journal)).sound
        runs = {head.run_id: await journal.read(head.run_id) for head in await journal.heads()}
    assert len(runs) == 4
    for run_id, envelopes in runs.items():
        kinds = [envelope.kind for envelope in envelopes]
        assert kinds[-1] == "run_completed"
        assert run_id != waiting or "execution_cancelled" in kinds
