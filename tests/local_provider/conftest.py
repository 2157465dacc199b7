"""One provider for the tests that do not need a fresh one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agentfield_adapters.local.pytest_plugin import af_provider, af_provider_process
from tests.local_provider.provider_process import RunningProvider, running_provider

__all__ = ["af_provider", "af_provider_process", "provider"]  # also in an environment older than the plugin


@pytest.fixture(scope="session")
def provider() -> Iterator[RunningProvider]:
    """A provider shared by all tests; every session of it is new."""
    with running_provider("--seed", "7") as running:
        yield running
