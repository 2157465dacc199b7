"""Hot routes are reached before the framework's layers: what those refuse is refused here as well."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.types import Message

from agentfield_rt.plane.http.guards import API_HEADERS
from agentfield_rt.plane.http.patience import Patience, TooSlow
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


def test_a_caller_s_name_for_a_request_is_kept_and_what_is_none_is_not(server: Served) -> None:
    kept = server.post(SUBMIT, BODY, headers={"X-Request-ID": "mine-1"})
    assert kept.headers["X-Request-ID"] == "mine-1"
    drawn = server.post(SUBMIT, BODY, headers={"X-Request-ID": "no name"})
    assert drawn.headers["X-Request-ID"].startswith("req_")


@pytest.mark.asyncio
async def test_one_timer_gives_up_every_body_that_is_late_and_no_other() -> None:
    patience, loop = Patience(), asyncio.get_running_loop()
    never = asyncio.Event()

    async def comes_never() -> Message:
        await never.wait()
        raise AssertionError

    async def comes() -> Message:
        return {"type": "http.request"}

    late = [asyncio.create_task(patience.receive(comes_never, ends_at=loop.time() + s)) for s in (0.02, 0.01)]
    waited_for = asyncio.create_task(patience.receive(comes_never, ends_at=loop.time() + 60))
    assert await patience.receive(comes, ends_at=loop.time() + 60) == {"type": "http.request"}
    for each in late:
        with pytest.raises(TooSlow):
            await each
    waited_for.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waited_for
