"""A handler elsewhere is a handler like any other: the tests of handlers, with every one behind a channel."""

# ruff: noqa: F403

from collections.abc import Iterator

import pytest

from agentfield_rt.voice.link import Handler, SessionLink
from tests.channel.elsewhere import Function, elsewhere
from tests.voice import call
from tests.voice.test_digits import *
from tests.voice.test_handler_faults import *
from tests.voice.test_speech import *
from tests.voice.test_turns import *


def handler_elsewhere(function: Function | None) -> Handler | None:
    """Runs `function` as an agent of its own would, over a channel that is made for each run."""
    if function is None:
        return None
    function_there = function

    async def handle(link: SessionLink) -> None:
        async with elsewhere() as there:
            await there.start(function_there)
            await there.run(link)

    return handle


@pytest.fixture(autouse=True)
def behind_a_channel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every handler of these tests runs behind a channel."""
    monkeypatch.setattr(call, "handler_of", handler_elsewhere)
    yield
