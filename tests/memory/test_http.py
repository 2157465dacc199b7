"""Memory over HTTP, a websocket and server-sent events: AgentField's shapes, against a real server."""

import json
import secrets
import socket
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from agentfield_rt.plane.memory import feed as feed_module
from tests.plane.serving import Served

RUN = {"X-Workflow-ID": "run_1", "X-Agent-Node-ID": "desk"}


def ask(server: Served, what: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    return server.post(f"/api/v1/memory/{what}", body, headers=headers)


def watch(server: Served, query: str = "", sock: socket.socket | None = None) -> ClientConnection:
    url = f"{server.url.replace('http', 'ws', 1)}/api/v1/memory/events/ws?{query}"
    return connect(url, sock=sock, max_queue=1)


@pytest.mark.parametrize(
    "data", [None, 0, "", "123", [1, {"deep": [None]}], {"ключ": "значение", "half": "\ud800"}, 2**70, 1.5]
)
def test_any_json_is_kept_as_it_is(server: Served, data: Any) -> None:
    body = json.dumps({"key": "any", "data": data})
    kept = server.client.post(
        "/api/v1/memory/set", content=body, headers={**RUN, "Content-Type": "application/json"}
    )
    assert kept.status_code == 200, kept.text
    found = ask(server, "get", {"key": "any"}, **RUN)
    assert found.status_code == 200
    assert json.loads(found.content)["data"] == data


def test_a_record_says_where_it_is_and_since_when(server: Served) -> None:
    kept = ask(server, "set", {"key": "who", "data": 1, "scope": "session"}, **{"X-Session-ID": "sess_http"})
    record = kept.json()
    assert set(record) == {"key", "data", "scope", "scope_id", "created_at", "updated_at"}
    assert (record["scope"], record["scope_id"]) == ("session", "sess_http")
    assert record["created_at"] == record["updated_at"]
    assert record["created_at"].endswith("Z")


def test_what_is_missing_is_told_in_agentfields_words(server: Served) -> None:
    nowhere = ask(server, "get", {"key": "missing"}, **RUN)
    assert (nowhere.status_code, nowhere.json()) == (404, {"error": "Memory key not found in any scope"})
    not_there = ask(server, "get", {"key": "missing", "scope": "workflow"}, **RUN)
    assert (not_there.status_code, not_there.json()) == (404, {"error": "memory not found"})
    assert ask(server, "delete", {"key": "missing"}, **RUN).status_code == 204
    no_scope = server.get("/api/v1/memory/list")
    assert (no_scope.status_code, no_scope.json()) == (
        400,
        {"error": "Scope parameter is required for listing memory"},
    )
    nobody_s = ask(server, "set", {"key": "k", "data": 1, "scope": "actor"})
    assert nobody_s.status_code == 400
    assert ask(server, "set", {"key": "k", "data": 1, "scope": "planet"}).status_code == 400


def test_a_list_is_a_bare_array(server: Served) -> None:
    headers = {"X-Actor-ID": "ada"}
    assert server.get("/api/v1/memory/list", params={"scope": "actor"}, headers=headers).json() == []
    for key in ("b", "a"):
        ask(server, "set", {"key": key, "data": key.upper(), "scope": "actor"}, **headers)
    listed = server.get("/api/v1/memory/list", params={"scope": "actor"}, headers=headers).json()
    assert [(each["key"], each["data"]) for each in listed] == [("a", "A"), ("b", "B")]


def test_vectors_are_kept_searched_and_deleted(server: Served) -> None:
    for key, embedding in (("near", [1.0, 0.1]), ("far", [0.0, 1.0])):
        body = {"key": key, "embedding": embedding, "metadata": {"kind": "doc"}}
        kept = ask(server, "vector/set", body, **RUN)
        assert kept.json() == {
            "key": key,
            "scope": "workflow",
            "scope_id": "run_1",
            "metadata": {"kind": "doc"},
        }
    wanted = {"query_embedding": [1.0, 0.0], "top_k": 0, "filters": {"kind": "doc"}}
    found = ask(server, "vector/search", wanted, **RUN).json()
    assert [match["key"] for match in found] == ["near", "far"]
    assert found[1]["score"] == pytest.approx(0)
    assert {"score", "distance", "metadata", "scope", "scope_id"} < set(found[0])
    assert ask(server, "vector/delete", {"key": "near"}, **RUN).status_code == 204
    assert len(ask(server, "vector/search", wanted, **RUN).json()) == 1
    none = ask(server, "vector/set", {"key": "k", "embedding": []}, **RUN)
    assert none.status_code == 400


def test_changes_come_over_the_websocket_as_they_happen(server: Served) -> None:
    with watch(server, "patterns=watched_*&scope=workflow&scope_id=run_1") as reader:
        ask(server, "set", {"key": "other", "data": 1}, **RUN)
        ask(server, "set", {"key": "watched_1", "data": {"n": 1}}, **RUN, **{"X-Actor-ID": "ada"})
        ask(server, "set", {"key": "watched_1", "data": 2}, **RUN)
        ask(server, "delete", {"key": "watched_1"}, **RUN)
        changes = [json.loads(reader.recv(timeout=10)) for _ in range(3)]
    shown = [(each["action"], each["data"], each["previous_data"]) for each in changes]
    assert shown == [("set", {"n": 1}, None), ("set", 2, {"n": 1}), ("delete", None, 2)]
    first = changes[0]
    assert (first["type"], first["scope"], first["scope_id"]) == ("memory_change", "workflow", "run_1")
    assert first["metadata"] == {"agent_id": "desk", "actor_id": "ada", "workflow_id": "run_1"}
    assert len({each["id"] for each in changes}) == 3
    told = server.get("/api/v1/memory/events/history", params={"patterns": "watched_*", "limit": 2}).json()
    assert told == changes[1:]
    later = {"patterns": "watched_*", "since": changes[1]["timestamp"]}
    assert server.get("/api/v1/memory/events/history", params=later).json() == changes[2:]


def test_a_reader_that_takes_nothing_is_cut_off_with_a_code_that_says_so(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "WAITING_BYTES_MAX", 1_000)
    monkeypatch.setattr(feed_module, "WAITING_MAX", 2)
    address = httpx.URL(server.url)
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    narrow.connect((address.host, address.port))
    large = secrets.token_hex(120_000)
    with watch(server, "patterns=slow", sock=narrow) as reader:
        for _ in range(40):
            ask(server, "set", {"key": "slow", "data": large}, **RUN)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                reader.recv(timeout=20)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4408
    assert "history" in closed.value.rcvd.reason


def test_too_many_patterns_are_refused_with_a_code_of_their_own(server: Served) -> None:
    many = ",".join(["x"] * 65)
    with watch(server, f"patterns={many}") as reader, pytest.raises(ConnectionClosed) as closed:
        reader.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4400
    refused = server.get("/api/v1/memory/events/history", params={"patterns": many})
    assert refused.status_code == 400


def test_a_page_of_another_origin_hears_nothing(server: Served) -> None:
    url = f"{server.url.replace('http', 'ws', 1)}/api/v1/memory/events/ws"
    with pytest.raises(InvalidStatus, match="403"):
        connect(url, origin=Origin("https://elsewhere.example"))


def test_nothing_of_memory_is_on_the_disk_in_the_clear(server: Served) -> None:
    ask(server, "set", {"key": "canary-key", "data": "canary-value"}, **{"X-Session-ID": "canary-session"})
    ask(
        server,
        "vector/set",
        {"key": "canary-vector", "embedding": [1], "metadata": {"canary-metadata": 1}},
        **RUN,
    )
    for path in server.data.iterdir():
        if path.is_file():
            assert b"canary" not in path.read_bytes(), path
