"""A server over a provider that speaks by itself, for a test to watch and to stop.

`python -m tests.operation.observed_server DATA`. Its reasoner `connects` lasts as long as the test holds its
connection.
"""

import asyncio
import sys

import pytest

from agentfield_rt import Agent
from agentfield_rt.plane import providers
from agentfield_rt.plane.server import serve
from agentfield_rt.ports import AdapterFactory, ProviderSettings
from tests.plane.serving import AnsweringAdapter, desk


def watched() -> Agent:
    """The desk, and one who is held on a line."""
    app = desk()

    @app.reasoner()
    async def connects(port: int) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.read()
        writer.close()
        return "put down"

    return app


def _make(_: ProviderSettings) -> AnsweringAdapter:
    return AnsweringAdapter()


def _factory(provider: str, transport: str) -> AdapterFactory:
    return _make


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(providers, "adapter_factory", _factory)
        serve([watched()], port=0, data=sys.argv[1])
