"""Memory over every place it can be kept."""

from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from agentfield_journal import QueuedContentStore, open_content
from agentfield_rt.plane.memory.memory import Memory
from agentfield_rt.plane.memory.opening import open_memory
from tests.journal.servers import create_database, find_program, postgres
from tests.plane.serving import Served, served

Opened = tuple[Memory, QueuedContentStore]
Opener = Callable[[], AbstractAsyncContextManager[Opened]]


@pytest.fixture(scope="session")
def postgres_database() -> Generator[str]:
    pytest.importorskip("psycopg")
    if find_program("initdb") is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres() as server:
        yield create_database(server)


@pytest.fixture
def postgres_url(postgres_database: str) -> str:
    """One database for all, emptied: making one for each test takes longer than the tests."""
    import psycopg

    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS agentfield_memory CASCADE")
    return postgres_database


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens memory, and its content store, at the same place each time."""
    url: str | None = {"memory": "memory:", "sqlite": None}.get(request.param)
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    return opener_of(url, tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """As `opener`, where what was kept is there again."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    return opener_of(url, tmp_path)


def opener_of(url: str | None, data: Path) -> Opener:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[Opened]:
        address = None if url is None else SecretStr(url)
        async with (
            open_content(f"sqlite:///{data / 'content.db'}") as content,
            open_memory(address, data=data, content=content) as memory,
        ):
            yield memory, content

    return opened


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the tests of a module, which do not mind sharing."""
    with pytest.MonkeyPatch.context() as patch, served(tmp_path_factory.mktemp("data"), patch) as server:
        yield server
