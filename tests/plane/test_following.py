"""Executions followed live, all of them or one, from where a reader left off, by so many readers."""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agentfield_rt.plane.executions import feed as execution_feed
from tests.plane.serving import Served

ALL = "/api/ui/v1/executions/events"


@contextmanager
def following(
    server: Served, path: str, last: str | None = None
) -> Generator[Iterator[tuple[str, dict[str, Any]]]]:
    """(id, event) one after the other; heartbeats are passed over."""
    headers = {} if last is None else {"Last-Event-ID": last}
    with server.client.stream("GET", path, headers=headers, timeout=20) as answer:
        assert answer.status_code == 200
        yield _events(answer.iter_lines())


def _events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    number = ""
    for line in lines:
        name, _, value = line.partition(":")
        if name == "id":
            number = value.strip()
        elif name == "data":
            body = json.loads(value)
            if body["type"] != "heartbeat":
                yield number, body


def until_end(events: Iterator[tuple[str, dict[str, Any]]], execution_id: str) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for number, event in events:
        if event["execution_id"] == execution_id:
            found.append((number, event["type"], event["status"]))
            if event["type"] in execution_feed.ENDS:
                break
    return found


def test_whoever_follows_all_executions_hears_of_each_and_can_come_back(server: Served) -> None:
    with following(server, ALL) as events:
        done = server.execute("desk.double", number=1)
        told = until_end(events, done["execution_id"])
    assert [what for _, *what in told] == [
        ["execution_created", "running"], ["execution_completed", "succeeded"]
    ]  # fmt: skip
    failed = server.execute("desk.fails", secret="s")
    with following(server, ALL, last=told[0][0]) as events:
        assert until_end(events, done["execution_id"]) == told[1:]
        assert until_end(events, failed["execution_id"])[-1][1:] == ("execution_failed", "failed")


def test_one_execution_is_told_from_its_beginning_to_its_end_whenever_that_was(server: Served) -> None:
    done = server.execute("desk.resolve", text="abc")
    path = f"/api/v1/executions/{done['execution_id']}/events"
    with following(server, path) as events:
        told = list(events)  # it ends by itself
    assert [event["type"] for _, event in told] == ["execution_created", "execution_completed"]
    assert {event["execution_id"] for _, event in told} == {done["execution_id"]}
    with following(server, path, last=told[0][0]) as events:
        assert [event["type"] for _, event in events] == ["execution_completed"]
    with following(server, path, last=told[-1][0]) as events:
        assert list(events) == []
    assert server.get("/api/v1/executions/exec_nobody/events").status_code == 404


def test_no_more_follow_than_may(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution_feed, "READERS_MAX", 0)
    monkeypatch.setattr(execution_feed, "READERS_OF_ONE_MAX", 0)
    done = server.execute("desk.double", number=1)
    assert server.get(ALL).status_code == 503
    assert server.get(f"/api/v1/executions/{done['execution_id']}/events").status_code == 503
