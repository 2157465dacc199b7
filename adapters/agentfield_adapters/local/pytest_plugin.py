"""The local provider as a pytest fixture. Imports nothing before it is used."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from agentfield_adapters.local.running import LocalProvider


@pytest.fixture(scope="session")
def af_provider_process() -> "Iterator[LocalProvider]":
    """One provider for all tests of a run: synthetic senses, instant pace, seed 1."""
    from agentfield_adapters.local.running import running_provider

    with running_provider("--seed", "1") as provider:
        yield provider


@pytest.fixture
def af_provider(af_provider_process: "LocalProvider") -> "Iterator[LocalProvider]":
    """A realtime provider on this machine that breaks on command and tells what it received.

    Afterwards it breaks nothing and its log is empty.
    """
    af_provider_process.reset()
    yield af_provider_process
    af_provider_process.reset()
