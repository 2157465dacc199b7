"""A stage with a connected controller, for single stories."""

from collections.abc import Iterator

import pytest

from tests.controller.stage import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A stage whose controller is connected; at the end everything is brought to rest and checked."""
    stage = Stage()
    stage.connect()
    stage.settle()
    try:
        yield stage
        stage.finish()
    finally:
        stage.dispose()
