"""Log lines of what is done over a channel: each is the request's that asked for it, not the connection's."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from agentfield_rt.logs import REQUEST_ID
from tests.channel.test_server import ask, ended, far
from tests.plane.serving import Served


class Requested(logging.Handler):
    """Which request each line of a record belongs to."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str | None]] = []
        self._loop = asyncio.get_running_loop()
        self._more = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((getattr(record, "kind", ""), REQUEST_ID.get()))
        self._loop.call_soon_threadsafe(self._more.set)

    async def line(self, kind: str) -> None:
        """Return when there is one of a kind."""
        while kind not in dict(self.lines):
            self._more.clear()
            await self._more.wait()


@pytest_asyncio.fixture
async def requested() -> AsyncIterator[Requested]:
    handler, log = Requested(), logging.getLogger("agentfield_rt.records")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield handler
    log.removeHandler(handler)
    log.setLevel(level)


@pytest.mark.asyncio
async def test_an_execution_and_what_it_calls_are_its_submits(server: Served, requested: Requested) -> None:
    async with far(server).connected(), ask(server) as client:
        requested.lines.clear()
        accepted = await client.post(
            "/execute/async/far.doubled_there",
            json={"input": {"number": 4}},
            headers={"X-Request-ID": "the-submit"},
        )
        await ended(client, accepted.json()["execution_id"])
        await requested.line("execution_noted")
        of_executions = [line for line in requested.lines if line[0].startswith("execution")]
        assert {"execution_queued", "execution_noted", "execution_succeeded"} <= dict(of_executions).keys()
        assert {request for _, request in of_executions} == {"the-submit"}


@pytest.mark.asyncio
async def test_what_a_handler_does_is_the_requests_that_began_it(
    server: Served, requested: Requested
) -> None:
    async with far(server).connected(), ask(server) as client:
        requested.lines.clear()
        started = await client.post("/session-targets/far.phone/start", headers={"X-Request-ID": "the-start"})
        session = f"/session-instances/{started.json()['session_id']}"
        typed = await client.post(
            f"{session}/input", json={"text": "hello"}, headers={"X-Request-ID": "the-input"}
        )
        assert typed.is_success
        async with client.stream("GET", f"{session}/events") as events:
            async for line in events.aiter_lines():
                if '"utterance_played"' in line:
                    break
        await client.post(f"{session}/close")
        called = [request for kind, request in requested.lines if kind == "execution_queued"]
        assert called == [called[0]] * 2
        assert called[0] in ("the-start", "the-input")
