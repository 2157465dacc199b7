"""Who reaches a server: by its own names, and not a page of another origin."""

from pathlib import Path

import httpx
import pytest

from agentfield_rt.config import Settings
from agentfield_rt.plane.app import create_app


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("listens_on", "called", "status"),
    [
        ("127.0.0.1", "localhost:8080", 200),
        ("127.0.0.1", "[::1]:8080", 200),
        ("192.0.2.7", "192.0.2.7:8080", 200),
        ("2001:db8::7", "[2001:db8::7]:8080", 200),
        ("127.0.0.1", "192.0.2.7:8080", 400),
        ("127.0.0.1", "rebound.example", 400),
        ("127.0.0.1", "testserver", 400),
    ],
)
async def test_a_server_answers_to_loopback_and_to_the_address_it_listens_on(
    tmp_path: Path, listens_on: str, called: str, status: int
) -> None:
    app = create_app(settings=Settings(host=listens_on, data=tmp_path))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{called}") as client:
        answer = await client.get("/health")
        assert answer.status_code == status
        if status == 400:
            assert "AGENTFIELD_RT_HOSTS" in answer.json()["error"]
            assert called not in answer.text


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("hosts", "called", "status"),
    [
        (["*.example.com"], "rt.example.com", 200),
        (["*.example.com"], "A.B.Example.com:8080", 200),
        (["*.example.com"], "example.com", 400),
        (["*.example.com"], "rt.example.com.evil.example", 400),
        (["RT.example.com"], "rt.example.com", 200),
        (["rt.example.com"], "www.rt.example.com", 400),
        (["rt.example.com"], "evil.example/rt.example.com", 400),
        (["rt.example.com"], "rt.example.com@evil.example", 400),
        (["rt.example.com"], "rt.example.com:http", 400),
        (["rt.example.com"], "", 400),
        (["*"], "whatever.example", 200),
    ],
)
async def test_a_server_answers_to_the_names_it_was_given(
    tmp_path: Path, hosts: list[str], called: str, status: int
) -> None:
    app = create_app(settings=Settings(data=tmp_path, hosts=tuple(hosts)))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/health", headers={"Host": called})).status_code == status


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 404),
        ("http://localhost:8080", 404),
        ("http://localhost:9999", 403),
        ("https://elsewhere.example", 403),
        ("null", 403),
    ],
)
async def test_a_page_of_another_origin_changes_nothing(
    tmp_path: Path, origin: str | None, status: int
) -> None:
    app = create_app(settings=Settings(data=tmp_path))
    headers = {} if origin is None else {"Origin": origin}
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080") as client:
            path = "/api/v1/session-targets/desk.voice/start"
            assert (await client.post(path, headers=headers)).status_code == status
            assert (await client.get("/health", headers=headers)).status_code == 200
