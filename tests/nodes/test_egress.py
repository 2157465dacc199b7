"""Requests of the plane's own: whom it calls, and how it bears what it gets."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest

from agentfield_rt.plane.egress import (
    Bounds,
    EgressPolicy,
    EgressRefused,
    HttpClient,
    MalformedAddress,
    NoAnswer,
    Unreachable,
    parse_address,
)
from agentfield_rt.plane.egress.client import Answer
from tests.nodes.peer import NOTHING, Peer, answer, peer

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"200\r\n" + b"x" * 512 + b"\r\n"


@asynccontextmanager
async def calling(policy: EgressPolicy | None = None) -> AsyncGenerator[tuple[Peer, HttpClient]]:
    client = HttpClient(policy or EgressPolicy())
    async with peer() as it:
        try:
            yield it, client
        finally:
            client.close()


async def ask(client: HttpClient, url: str, *, time_max_s: float = 5.0, **more: Any) -> Answer:
    return await client.request("POST", url, bounds=Bounds(time_max_s, 1_000), **more)


@pytest.mark.parametrize(
    "url",
    [
        "", "agent", "ftp://agent/", "http://", "http:///path", "http://a b/", "http://agent\\@evil/",
        "http://user:secret@127.0.0.1/", "http://user@127.0.0.1/", "http://127.0.0.1/#part", "http://127.0.0.1:0/",
        "http://127.0.0.1:99999/", "http://[::1", "http://-agent/", "http://agent..example/", "http://ägent/",
        "http://127.0.0.1/\r\nX: y", "http://" + "a" * 3_000,
    ],
)  # fmt: skip
def test_what_is_no_plain_http_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(MalformedAddress) as caught:
        parse_address(url)
    assert "secret" not in str(caught.value)
    assert caught.value.status == HTTPStatus.BAD_REQUEST


def test_an_address_is_taken_apart_once() -> None:
    address = parse_address("https://Agents.Example.com./base/x?a=1&b=2")
    assert (address.host, address.port, address.target) == ("agents.example.com", 443, "/base/x?a=1&b=2")
    assert address.authority == "agents.example.com"
    assert parse_address("http://[::1]:8001").authority == "[::1]:8001"


@pytest.mark.parametrize("host", ["10.0.0.0/33", "10.0.0.1/8", "a b", "", "*", "http://agent"])
def test_a_host_that_could_not_be_meant_is_no_setting(host: str) -> None:
    with pytest.raises(ValueError, match=r"host|network"):
        EgressPolicy([host])


@pytest.mark.parametrize(
    ("listed", "ip", "allowed"),
    [
        ([], "127.0.0.1", True),
        ([], "127.9.9.9", True),
        ([], "::1", True),
        ([], "::ffff:127.0.0.1", True),
        ([], "0.0.0.0", False),
        ([], "169.254.169.254", False),
        ([], "10.0.0.1", False),
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["10.0.0.0/8"], "11.0.0.1", False),
        (["192.0.2.7"], "192.0.2.7", True),
        (["2001:db8::/32"], "2001:db8::5", True),
        ([], "agent", False),
    ],
)
def test_only_this_machine_and_what_is_listed_is_called(listed: list[str], ip: str, allowed: bool) -> None:
    assert EgressPolicy(listed).allows_ip(ip) is allowed


@pytest.mark.parametrize(
    ("listed", "name", "allowed"),
    [
        (["agent.example.com"], "agent.example.com", True),
        (["agent.example.com"], "other.example.com", False),
        (["*.example.com"], "agent.example.com", True),
        (["*.example.com"], "a.b.example.com", True),
        (["*.example.com"], "example.com", False),
        (["*.example.com"], "notexample.com", False),
    ],
)
def test_a_name_is_allowed_as_it_is_listed(listed: list[str], name: str, allowed: bool) -> None:
    assert EgressPolicy(listed).allows_name(name) is allowed


def answering(*ips: str) -> Any:
    """A look-up that answers these addresses, whatever it is asked."""

    async def look_up(_: Any, host: str, port: int, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ips]

    return look_up


@pytest.mark.asyncio
async def test_a_name_that_leads_elsewhere_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(type(loop), "getaddrinfo", answering("169.254.169.254"))
    policy = EgressPolicy(["trusted.example.com"])
    with pytest.raises(EgressRefused, match="AGENTFIELD_RT_AGENT_HOSTS"):
        await policy.resolve(parse_address("http://rebound.example.com/"))
    assert await policy.resolve(parse_address("http://trusted.example.com/")) == ("169.254.169.254",)


@pytest.mark.asyncio
async def test_of_a_name_only_the_addresses_that_are_allowed_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with calling() as (it, client):
        port = parse_address(it.url).port
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(type(loop), "getaddrinfo", answering("10.0.0.1", "127.0.0.1"))
        assert (await ask(client, f"http://agent.example.com:{port}/x")).status == 200
        assert it.heard[0].headers["host"] == f"agent.example.com:{port}"


@pytest.mark.asyncio
async def test_a_name_that_leads_nowhere_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any, **__: Any) -> None:
        raise socket.gaierror

    monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", fails)
    with pytest.raises(Unreachable, match=r"agent\.example\.com"):
        await ask(HttpClient(EgressPolicy()), "http://agent.example.com/")


@pytest.mark.asyncio
async def test_one_connection_serves_one_request_after_the_other() -> None:
    async with calling() as (it, client):
        it.default = answer(200, {"a": 1}, X_Kind="plain")
        for number in range(5):
            got = await ask(client, f"{it.url}/{number}", body=b"{}", headers={"X-Run-ID": "run_1"})
            assert (got.status, got.headers["x-kind"], got.body) == (200, "plain", b'{"a":1}')
        assert it.connections == 1
        assert [each.path for each in it.heard] == ["/0", "/1", "/2", "/3", "/4"]
        assert it.heard[0].headers["x-run-id"] == "run_1"


@pytest.mark.asyncio
@pytest.mark.parametrize("said", [answer(200, {}, Connection="close"), answer(500, {})])
async def test_a_connection_the_server_will_not_keep_is_not_used_again(said: bytes) -> None:
    async with calling() as (it, client):
        it.default = said
        await ask(client, it.url)
        await ask(client, it.url)
        assert it.connections == 2


@pytest.mark.asyncio
async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with calling() as (it, client):
        it.default = answer(302, b"", Location="http://169.254.169.254/")
        assert (await ask(client, it.url)).status == 302
        assert len(it.heard) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer(200, b"x" * 1_001), "larger than 1000"),
        (CHUNKED + CHUNK * 2, "larger"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, "too large"),
        (b"HTTP/1.1 200 OK\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(200)) + b"\r\n", "headers"),
        (b"SSH-2.0-OpenSSH\r\n", "not HTTP"),
        (NOTHING, "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "did not answer"),
    ],
    ids=["length", "chunks", "header", "headers", "protocol", "nothing", "half"],
)  # fmt: skip
async def test_an_answer_that_cannot_be_taken_leaves_it_open_what_happened(said: bytes, why: str) -> None:
    async with calling() as (it, client):
        it.default = said
        with pytest.raises(NoAnswer, match=why):
            await ask(client, it.url, time_max_s=1.0)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "said",
    [
        answer(200, b"x" * 1_000_000),
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        CHUNKED,
        answer(200, {}),
    ],
    ids=["huge", "never comes", "never ends", "whole"],
)
async def test_whoever_wants_no_body_waits_for_none(said: bytes) -> None:
    async with calling() as (it, client):
        it.default = b"HTTP/1.1 100 Continue\r\n\r\n" + said
        for _ in range(2):
            got = await client.request("POST", it.url, bounds=Bounds(5.0, 0))
            assert (got.status, got.body) == (200, b"")
        assert it.connections == (1 if said == answer(200, {}) else 2)


@pytest.mark.asyncio
async def test_an_answer_may_come_in_chunks_after_an_interim_one_or_end_with_its_connection() -> None:
    async with calling() as (it, client):
        it.default = b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"2\r\nab\r\n0\r\n\r\n"
        assert (await ask(client, it.url)).body == b"ab"
        it.default, it.closes = b"HTTP/1.0 200 OK\r\n\r\nab", True
        assert (await ask(client, it.url)).body == b"ab"


@pytest.mark.asyncio
async def test_who_takes_no_connection_got_nothing() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port}"):
        await ask(HttpClient(EgressPolicy()), f"http://127.0.0.1:{port}/")


@pytest.mark.asyncio
async def test_a_header_that_would_be_two_is_not_sent() -> None:
    async with calling() as (it, client):
        with pytest.raises(ValueError, match="X-Run-ID"):
            await ask(client, it.url, headers={"X-Run-ID": "a\r\nX-Admin: yes"})
        assert it.heard == []


@pytest.mark.asyncio
async def test_who_gives_up_waiting_leaves_no_connection_in_use() -> None:
    async with calling() as (it, client):
        it.hold = asyncio.Event()
        asking = asyncio.create_task(ask(client, it.url))
        await it.asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        it.hold = None
        assert (await ask(client, it.url)).status == 200
        assert it.connections == 2
