"""Hot routes are reached before the framework's layers: what those refuse is refused here as well."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from agentfield_rt.plane.http.guards import API_HEADERS
from tests.plane.serving import Served, served

SUBMIT = "/api/v1/execute/async/desk.double"
BODY = {"input": {"number": 1}}
WORK_BYTES_MAX = 64 * 1024


def test_a_page_of_another_origin_submits_nothing(server: Served) -> None:
    refused = server.post(SUBMIT, BODY, headers={"Origin": "https://elsewhere.example"})
    assert (refused.status_code, "another origin" in refused.json()["error"]) == (403, True)
    assert server.post(SUBMIT, BODY, headers={"Origin": server.url}).status_code == 202


def test_a_name_that_is_not_this_server_s_submits_nothing(server: Served) -> None:
    refused = server.post(SUBMIT, BODY, headers={"Host": "elsewhere.example"})
    assert (refused.status_code, "Host header" in refused.json()["error"]) == (400, True)


@pytest.mark.parametrize("says_so", [True, False])
def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, says_so: bool
) -> None:
    body = b'{"input": {"number": "' + b"1" * 2 * WORK_BYTES_MAX + b'"}}'

    def pieces() -> Iterator[bytes]:
        yield body

    with served(tmp_path, monkeypatch, work_bytes_max=WORK_BYTES_MAX) as server:
        refused = httpx.post(server.url + SUBMIT, content=body if says_so else pieces(), timeout=20)
    assert (refused.status_code, "the body is larger" in refused.json()["error"]) == (413, True)


def test_an_answer_has_the_headers_of_every_other(server: Served) -> None:
    for answer in (server.post(SUBMIT, BODY), server.post("/api/v1/execute/async/desk.nothing", BODY)):
        sent = {name.lower(): value for name, value in answer.headers.raw}
        assert all(sent[name] == value for name, value in API_HEADERS)
        assert answer.headers["X-Request-ID"]
