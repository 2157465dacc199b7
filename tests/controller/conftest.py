"""A stage with a connected controller, for single stories."""

from collections.abc import Iterator

import pytest

from tests.controller.stage import SMALL, Stage, performance


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A stage on which every frame and every receive is an operation of its own."""
    with performance() as stage:
        yield stage


@pytest.fixture
def flowing() -> Iterator[Stage]:
    """A stage with windows of four."""
    with performance(SMALL) as stage:
        yield stage
