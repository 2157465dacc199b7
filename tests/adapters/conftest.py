"""Fixtures: a scripted peer, and the local provider as a process."""

import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator

import pytest
import pytest_asyncio

from agentfield_rt.errors import CloseReason
from tests.adapters.audio_turns_line import Line as ChatLine
from tests.adapters.calls_peer import CallsPeer, running_calls_peer
from tests.adapters.chat_peer import ChatPeer, running_chat_peer
from tests.adapters.peer import Peer, both, running_peer
from tests.adapters.websocket_line import REQUEST, Line, adapter_for, greeted


@pytest_asyncio.fixture
async def peer() -> AsyncGenerator[Peer]:
    async with running_peer() as running:
        yield running


@pytest_asyncio.fixture
async def calls_peer() -> AsyncGenerator[CallsPeer]:
    async with running_calls_peer() as running:
        yield running


@pytest_asyncio.fixture
async def chat_peer() -> AsyncGenerator[ChatPeer]:
    async with running_chat_peer() as running:
        yield running


@pytest_asyncio.fixture
async def chat_line(chat_peer: ChatPeer) -> AsyncGenerator[ChatLine]:
    """A connected openrouter/audio_turns."""
    line = ChatLine(chat_peer)
    await line.connect()
    yield line
    await line.adapter.close(CloseReason.NORMAL)


@pytest_asyncio.fixture
async def line(peer: Peer) -> AsyncGenerator[Line]:
    """A connected openai/websocket."""
    adapter = adapter_for(peer)
    connected, socket = await both(adapter.connect(REQUEST), greeted(peer))
    yield Line(adapter, socket, connected)
    await adapter.close(CloseReason.NORMAL)


@pytest.fixture(scope="session")
def local_provider_url() -> Generator[str]:
    """The provider of this machine, in a process of its own that ends with its standard input."""
    command = [
        sys.executable,
        "-m",
        "agentfield_adapters.local",
        "--port",
        "0",
        "--seed",
        "1",
        "--exit-with-parent",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        yield json.loads(process.stdout.readline())["url"]
        process.stdin.close()
        process.wait(timeout=10)
