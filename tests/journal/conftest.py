"""Journals on servers: each test gets a database or a stream of its own."""

import secrets
from collections.abc import Generator

import pytest

from tests.journal import servers
from tests.journal.servers import Server, create_database, find_program


@pytest.fixture(scope="session")
def postgres_server() -> Generator[Server]:
    pytest.importorskip("psycopg")
    if find_program("initdb") is None:
        pytest.skip("PostgreSQL is not installed")
    with servers.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def nats_server() -> Generator[Server]:
    pytest.importorskip("nats")
    if find_program("nats-server") is None:
        pytest.skip("nats-server is not installed")
    with servers.nats() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Server) -> str:
    return create_database(postgres_server)


@pytest.fixture
def nats_url(nats_server: Server) -> str:
    """The installed server may be too old to sync always."""
    return f"nats-unsynced://127.0.0.1:{nats_server.port}/T{secrets.token_hex(6)}"


@pytest.fixture(params=["postgresql", "nats"])
def server_url(request: pytest.FixtureRequest) -> str:
    """An empty journal on a server of each kind."""
    url: str = request.getfixturevalue("postgres_url" if request.param == "postgresql" else "nats_url")
    return url
