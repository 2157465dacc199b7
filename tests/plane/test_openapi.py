"""The OpenAPI document is true: a few cases of every operation; `make schemathesis` has a hundred."""

import httpx
import pytest

from agentfield_rt.plane.app import create_app
from agentfield_rt.plane.http.openapi import ErrorBody
from tests.plane.openapi_judge import judge
from tests.plane.serving import Served


def test_what_is_drawn_from_the_document_is_answered_as_it_says(capfd: pytest.CaptureFixture[str]) -> None:
    code = judge(2, phases="fuzzing")
    assert code == 0, capfd.readouterr().out


def test_every_operation_says_what_it_is_and_how_it_refuses(server: Served) -> None:
    document = server.get("/openapi.json").json()
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) > 40
    refusal = {"$ref": f"#/components/schemas/{ErrorBody.__name__}"}
    for method, path, operation in operations:
        assert operation["summary"], (method, path)
        assert operation["tags"], (method, path)
        assert operation["responses"]["default"]["content"]["application/json"]["schema"] == refusal
        assert "422" not in operation["responses"], (method, path)
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/api/v1/session-targets/desk.phone/start", 405, "POST"),
        ("PUT", "/api/v1/executions/exec_1", 405, "GET"),
        ("OPTIONS", "/api/v1/nodes/desk", 405, "DELETE, GET"),
        ("POST", "/health", 405, "GET"),
        ("GET", "/api/v1/nothing", 404, None),
    ],
)
def test_a_wrong_method_is_told_every_right_one(
    server: Served, method: str, path: str, status: int, allowed: str | None
) -> None:
    answer = server.client.request(method, path)
    assert answer.status_code == status
    assert answer.headers.get("Allow") == allowed
    assert set(answer.json()) == {"error"}


def test_every_answer_has_an_id_and_a_caller_s_own_is_kept_if_it_is_one(server: Served) -> None:
    def answered(**headers: str) -> httpx.Response:
        return server.get("/health", headers={name.replace("_", "-"): text for name, text in headers.items()})

    assert answered(X_Request_ID="abc-1.2:3").headers["X-Request-ID"] == "abc-1.2:3"
    for wrong in ("a b", "x" * 129, "a\tb", "<script>"):
        made = answered(X_Request_ID=wrong).headers["X-Request-ID"]
        assert made.startswith("req_") and wrong not in made
    assert answered().headers["X-Request-ID"] != answered().headers["X-Request-ID"]
    assert server.get("/nothing").headers["X-Request-ID"]
    assert answered(Host="evil.example.com").headers["X-Request-ID"]


def test_event_streams_are_documented_as_what_they_are() -> None:
    paths = create_app().openapi()["paths"]
    streams = {path for path, item in paths.items() if path.endswith(("/events", "/sse")) and "get" in item}
    assert len(streams) == 4
    answers = [paths[path]["get"]["responses"]["200"]["content"].keys() for path in sorted(streams)]
    assert answers == [{"text/event-stream"}] * 4
