"""The adapter that the README builds conforms, over a real socket, and is what the README shows."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from agentfield_adapters.conformance import check_adapter
from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import (
    Notice,
    OutputTranscript,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    TextFrame,
)
from agentfield_rt.ports import ConnectRequest, ProviderSettings, SessionConfig
from examples.acme_adapter import AcmeAdapter, adapter, meaning

ROOT = Path(__file__).parents[2]
REQUEST = ConnectRequest(session_id="s1", config=SessionConfig())


async def request() -> ConnectRequest:
    return REQUEST


class Acme:
    """The provider; its connections are a test's to break."""

    def __init__(self) -> None:
        self.settings = ProviderSettings()
        self.writers: list[asyncio.StreamWriter] = []
        self.serving: list[asyncio.Task[Any] | None] = []
        self.heard: list[dict[str, Any]] = []
        self.is_mute = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.serving.append(asyncio.current_task())
        with suppress(OSError):
            while line := await reader.readline():
                said = json.loads(line)
                self.heard.append(said)
                if "say" in said:
                    self.speak(writer, said)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def speak(self, writer: asyncio.StreamWriter, said: dict[str, Any]) -> None:
        response_id = f"r{len(self.heard)}"
        lines = [
            {"started": response_id, "utterance": said["utterance"]},
            {"words": said["say"], "of": response_id},
            {"ended": response_id, "how": "completed"},
        ]
        for line in lines[:2] if self.is_mute else lines:
            writer.write(json.dumps(line).encode() + b"\n")


@asynccontextmanager
async def acme() -> AsyncGenerator[tuple[Acme, AcmeAdapter]]:
    provider = Acme()
    async with await asyncio.start_server(provider.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        provider.settings = ProviderSettings(base_url=f"tcp://127.0.0.1:{port}")
        made = adapter(provider.settings)
        try:
            yield provider, made
        finally:
            await made.close(CloseReason.NORMAL)
            await asyncio.gather(*(task for task in provider.serving if task is not None))


@pytest.mark.asyncio
async def test_the_worked_example_conforms() -> None:
    async with acme() as (provider, _):
        await check_adapter(lambda: adapter(provider.settings), request)


@pytest.mark.asyncio
async def test_a_connection_that_breaks_in_an_answer_ends_it_and_is_told() -> None:
    async with acme() as (provider, made):
        provider.is_mute = True
        await made.connect(REQUEST)
        await made.send(TextFrame("f1", "hello"))
        await made.send(SpeechFrame("f2", "u1", text="Good morning."))
        assert (await made.receive(demand=1))[0] == ResponseStarted("r2", "u1")
        assert isinstance((await made.receive(demand=1))[0], OutputTranscript)
        provider.writers[0].transport.abort()
        assert await made.receive(demand=1) == (
            ResponseEnded("r2", ResponseStatus.INCOMPLETE, Reason.CONNECTION_LOST),
        )
        with pytest.raises(ConnectionLost):
            await made.receive(demand=1)
        assert provider.heard[0] == {"typed": "hello", "id": "f1"}


@pytest.mark.asyncio
async def test_nobody_at_the_address_is_said_to_be_unavailable() -> None:
    with pytest.raises(ProviderError) as raised:
        await adapter(ProviderSettings(base_url="tcp://127.0.0.1:1")).connect(REQUEST)
    told = raised.value
    assert (told.reason, told.retryable, told.not_done) == (Reason.UNAVAILABLE, True, True)


@pytest.mark.parametrize("line", [{}, {"started": 1}, {"ended": "r", "how": "exploded"}, {"words": "x"}])
def test_what_cannot_be_understood_is_a_notice(line: dict[str, Any]) -> None:
    assert meaning(line) == Notice("acme", "malformed")


def test_the_readme_shows_parts_of_the_file_that_is_tested() -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "adapters" / "README.md").read_text(), re.DOTALL)
    source = (ROOT / "examples" / "acme_adapter.py").read_text()
    parts = [block.strip() for block in shown if "acme" in block and "check_adapter" not in block]
    assert len(parts) == 3
    assert [part for part in parts if part not in source] == []
