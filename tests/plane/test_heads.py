"""What a caller sends before a request's body is small and comes in time, or its connection ends."""

import logging
import socket
from collections.abc import Generator
from contextlib import contextmanager

import httpx
import pytest

from agentfield_rt.plane.http import heads
from tests.plane.serving import Served

OWN = "GET /health HTTP/1.1\r\nHost: localhost\r\n"


@contextmanager
def connected(server: Served) -> Generator[socket.socket]:
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port), timeout=10) as caller:
        yield caller


def everything(caller: socket.socket) -> bytes:
    """What the server says until it closes the connection."""
    got = b""
    while piece := caller.recv(65_536):
        got += piece
    return got


def test_a_connection_on_which_nobody_says_anything_is_closed(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "SILENT_MAX_S", 0.05)
    with connected(server) as caller:
        assert everything(caller) == b""


def test_a_head_that_stops_half_way_is_given_up_also_the_second_of_a_connection(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "HEAD_MAX_S", 0.05)
    with connected(server) as caller:
        caller.sendall(OWN.encode())
        assert b" 400 " in everything(caller)
    with connected(server) as caller:
        caller.sendall(f"{OWN}\r\n{OWN}".encode())
        answers = everything(caller)
    assert (answers.count(b"HTTP/1.1 200"), answers.count(b"HTTP/1.1 400")) == (1, 1)


def test_a_head_that_begins_in_the_packet_that_ends_another_has_to_come_in_time_too(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "HEAD_MAX_S", 0.3)
    with connected(server) as caller:
        caller.sendall(f"{OWN}\r\n{OWN}".encode())
        assert b" 200 " in caller.recv(65_536)
        caller.sendall(f"\r\n{OWN}".encode())
        assert b"HTTP/1.1 400" in everything(caller)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(f"X: {'a' * 300_000}\r\n\r\n", id="a header of 300 KB"),
        pytest.param(f"X: {'a' * 100_000}\r\n\r\n", id="a header of 100 KB"),
        pytest.param(f"X: {'a' * 100_000}", id="a header without an end"),
        pytest.param("X: a\r\n" * 201 + "\r\n", id="too many headers"),
        pytest.param("X: a\r\n" * 20_000, id="headers without an end"),
    ],
)
def test_a_head_that_is_too_large_is_refused(server: Served, more: str) -> None:
    with connected(server) as caller:
        try:
            caller.sendall((OWN + more).encode())
            answer = everything(caller)
        except ConnectionError:  # it was refused before all of it was sent
            return
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"HTTP/1.1 200" not in answer


@pytest.mark.parametrize("path", ["/health", "/api/v1/executions/nobody"])
def test_a_request_under_two_names_is_refused_though_both_are_ours(server: Served, path: str) -> None:
    with connected(server) as caller:
        caller.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert everything(caller).startswith(b"HTTP/1.1 400 ")


def test_a_head_of_an_ordinary_size_may_come_in_pieces(server: Served) -> None:
    head = OWN + "".join(f"X-{number}: {'a' * 300}\r\n" for number in range(150)) + "\r\n"
    with connected(server) as caller:
        for at in range(0, len(head), 10_000):
            caller.sendall(head[at : at + 10_000].encode())
        assert caller.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_whoever_leaves_within_their_own_body_is_no_error_of_the_server_s(
    server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="agentfield_rt.requests")
    submit = "/api/v1/execute/async/desk.double"
    with connected(server) as caller:
        head = f"POST {submit} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n"
        caller.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert b" 100 " in caller.recv(65_536)  # its route reads
    ended: list[logging.LogRecord] = []
    while not ended:  # the request after it is served after it
        server.get("/health")
        ended = [line for line in caplog.records if getattr(line, "route", "").startswith("/api/v1/execute")]
    assert [(line.levelname, getattr(line, "status", 0)) for line in ended] == [("INFO", 499)]
