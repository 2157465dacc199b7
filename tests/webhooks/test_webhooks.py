"""Whoever submitted an execution is told of its outcome: signed, at least once, also by the next process."""

import asyncio
import hmac
import json
import socket
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from agentfield_rt import Agent
from agentfield_rt.plane.egress import Bounds
from agentfield_rt.plane.webhooks import sink, telling
from agentfield_rt.plane.webhooks.webhooks import AT_ONCE_MAX, AT_ONCE_OF_ONE_MAX, Webhooks
from tests.plane.serving import Served, served
from tests.webhooks.receiving import Receiver, Request, receiving

SECRET = "a secret of the receiver"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "PAUSES_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(telling, "TRIES_MAX", 4)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    with served(tmp_path, monkeypatch) as server:
        yield server


def submit(server: Served, target: str, webhook: Any, **arguments: Any) -> str:
    body = {"input": arguments, "webhook": webhook}
    answer = server.post(f"/api/v1/execute/async/{target}", body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["webhook_registered"] is True
    return str(answer.json()["execution_id"])


def events(server: Served, execution_id: str, count: int) -> list[dict[str, Any]]:
    """What became of the tries, once there were so many."""
    while True:
        found: list[dict[str, Any]] = server.finished(execution_id)["webhook_events"]
        if len(found) >= count:
            return found


def delivery_id(request: Request) -> str:
    return request.headers["x-agentfield-delivery-id"]


def test_the_outcome_is_told_and_signed(server: Served) -> None:
    with receiving() as receiver:
        webhook = {"url": receiver.url, "secret": SECRET, "headers": {"X-Tenant": "acme"}}
        execution_id = submit(server, "desk.double", webhook, number=21)
        request = receiver.take()
        body = json.loads(request.body)
        assert body["result"] == 42
        assert (body["event"], body["status"], body["execution_id"]) == (
            "execution.completed",
            "succeeded",
            execution_id,
        )
        assert (body["target"], body["target_type"]) == ("desk.double", "reasoner")
        assert body["duration_ms"] >= 0
        assert set(body) == {
            *("event", "execution_id", "run_id", "status", "target", "target_type"),
            *("duration_ms", "timestamp", "result"),
        }
        wanted = hmac.new(SECRET.encode(), request.body, sha256).hexdigest()
        assert request.headers["x-agentfield-signature"] == f"sha256={wanted}"
        assert request.headers["x-tenant"] == "acme"
        assert request.headers["content-type"] == "application/json"
        (event,) = events(server, execution_id, 1)
        assert event["status"] == "delivered"
        assert event["delivery_id"] == delivery_id(request)


def test_a_failure_is_told_with_its_words(server: Served) -> None:
    with receiving() as receiver:
        submit(server, "desk.fails", {"url": receiver.url}, secret="of mine")
        request = receiver.take()
        body = json.loads(request.body)
        assert (body["event"], body["status"]) == ("execution.failed", "failed")
        assert "of mine" in body["error_message"]
        assert "x-agentfield-signature" not in request.headers


@pytest.mark.parametrize(
    "refusal", [500, 404, 429, 499, 0], ids=["broken", "not there", "busy", "no standard", "cut off"]
)
def test_what_was_not_taken_is_told_again_under_the_same_id(server: Served, refusal: int) -> None:
    with receiving(refusal, refusal) as receiver:
        execution_id = submit(server, "desk.double", {"url": receiver.url, "secret": SECRET}, number=1)
        requests = [receiver.take() for _ in range(3)]
        assert len({delivery_id(request) for request in requests}) == 1
        assert len({request.body for request in requests}) == 1
        told = events(server, execution_id, 3)
        assert [event["status"] for event in told] == ["failed", "failed", "delivered"]


def test_somebody_who_never_takes_it_is_told_so_often_and_no_more(server: Served) -> None:
    with receiving(*[503] * 9) as receiver:
        execution_id = submit(server, "desk.double", {"url": receiver.url}, number=1)
        told = events(server, execution_id, 4)
        assert [event["status"] for event in told] == ["failed"] * 4
        assert told[-1]["error_message"] == "unavailable"
    run = server.get(f"/api/v1/executions/{execution_id}").json()
    assert run["status"] == "succeeded"
    assert receiver.received.qsize() == 4


def test_what_the_last_process_owed_is_told_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "PAUSES_S", (3_600.0,) * 3)
    with receiving(503) as receiver:
        with served(tmp_path, monkeypatch) as server:
            first = submit(server, "desk.double", {"url": receiver.url}, number=1)
            tried = receiver.take()
            events(server, first, 1)
        with served(tmp_path, monkeypatch) as server:
            told = receiver.take()
            assert delivery_id(told) == delivery_id(tried)
            assert [event["status"] for event in events(server, first, 2)] == ["failed", "delivered"]
        with served(tmp_path, monkeypatch) as server:
            second = submit(server, "desk.double", {"url": receiver.url}, number=2)
            assert json.loads(receiver.take().body)["execution_id"] == second
        assert receiver.received.empty()


def test_a_server_that_takes_everything_and_answers_nothing_delays_nobody_else(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "DEADLINE_S", 60.0)
    monkeypatch.setattr(sink, "_BOUNDS", Bounds(60.0, 0))
    with socket.create_server(("127.0.0.1", 0)) as mute, receiving() as receiver:
        for _ in range(2 * AT_ONCE_MAX):
            submit(server, "desk.double", {"url": f"http://127.0.0.1:{mute.getsockname()[1]}/"}, number=1)
        told = submit(server, "desk.double", {"url": receiver.url}, number=2)
        assert json.loads(receiver.take().body)["execution_id"] == told


class Forgetful:
    """In the place of a `Teller`: tells when it may, and finds no receiver any more once all are erased."""

    def __init__(self) -> None:
        self.looked_up, self.told = asyncio.Queue[str](), asyncio.Queue[str]()
        self.may_tell = asyncio.Event()

    async def receiver(self, execution_id: str) -> str:
        self.looked_up.put_nowait(execution_id)
        return "" if self.may_tell.is_set() else "receiver:80"

    async def tell(self, execution_id: str) -> None:
        await self.may_tell.wait()
        self.told.put_nowait(execution_id)


@pytest.mark.asyncio
async def test_what_waits_for_a_receiver_is_told_also_when_all_before_it_were_erased() -> None:
    ids = [str(number) for number in range(3 * AT_ONCE_OF_ONE_MAX)]

    async def owed(*, limit: int) -> list[str]:
        return ids

    teller: Any = Forgetful()
    runs: Any = None
    webhooks = Webhooks(runs, teller, owed)
    await webhooks.start()
    async with asyncio.timeout(5):
        assert [await teller.looked_up.get() for _ in ids] == ids
        teller.may_tell.set()
        assert {await teller.told.get() for _ in ids} == set(ids)
    await webhooks.close()


def test_what_died_with_its_process_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        with served(tmp_path, monkeypatch) as server:
            execution_id = submit(server, "desk.waits", {"url": receiver.url})
        with served(tmp_path, monkeypatch):
            body = json.loads(receiver.take().body)
            assert (body["execution_id"], body["status"]) == (execution_id, "cancelled")
        assert receiver.received.empty()


@pytest.mark.parametrize(
    ("webhook", "status", "why"),
    [
        ({"url": "ftp://127.0.0.1/"}, 400, "http"),
        ({"url": "http://user:password@127.0.0.1/"}, 400, "user name"),
        ({"url": "http://192.0.2.1/hook"}, 403, "AGENTFIELD_RT_AGENT_HOSTS"),
        ({"url": "http://127.0.0.1/", "headers": {"Host": "elsewhere"}}, 400, "this server's to set"),
        ({"url": "http://127.0.0.1/", "headers": {"X-AgentField-Signature": "x"}}, 400, "to set"),
        ({"url": "http://127.0.0.1/", "headers": {"X-A": "b\r\nX-C: d"}}, 400, "cannot be sent"),
        ({"url": "http://127.0.0.1/", "secret": "x" * 1_025}, 400, "1024"),
    ],
)
def test_a_webhook_that_could_never_be_told_is_refused_before_anything_runs(
    server: Served, webhook: Any, status: int, why: str
) -> None:
    body = {"input": {"number": 1}, "webhook": webhook}
    refused = server.post("/api/v1/execute/async/desk.double", body)
    assert refused.status_code == status, refused.text
    assert why in refused.json()["error"]


def test_the_journal_has_neither_address_nor_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        with served(tmp_path, monkeypatch) as server:
            webhook = {"url": f"{receiver.url}?token=canary-token", "secret": "canary-secret"}
            submit(server, "desk.double", webhook, number=1)
            receiver.take()
        for path in tmp_path.iterdir():
            if path.is_file():
                assert b"canary" not in path.read_bytes(), path


def test_an_agent_that_tells_itself_is_no_reason_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook's run is its own: the execution's ends when its work does."""
    with receiving(*[503] * 9) as receiver, served(tmp_path, monkeypatch, agents=[_alone()]) as server:
        execution_id = submit(server, "alone.one", {"url": receiver.url})
        receiver.take()
        assert server.finished(execution_id)["result"] == 1


def _alone() -> Agent:
    app = Agent("alone")

    @app.reasoner()
    async def one() -> int:
        return 1

    return app


def test_receivers_of_different_executions_hear_of_theirs(server: Served) -> None:
    with receiving() as first, receiving() as second:
        receivers: list[tuple[Receiver, int]] = [(first, 1), (second, 2)]
        for receiver, number in receivers:
            submit(server, "desk.double", {"url": receiver.url}, number=number)
        for receiver, number in receivers:
            assert json.loads(receiver.take().body)["result"] == 2 * number
