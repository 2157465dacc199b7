"""One server for the tests of a module that connect agents to it."""

from collections.abc import Iterator

import pytest

from tests.plane.serving import Served, served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch, served(tmp_path_factory.mktemp("data"), patch) as server:
        yield server
