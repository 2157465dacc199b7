"""A server whose calls are recorded, for a test to kill: `python -m tests.media.recording_server DATA`."""

import os
import sys

from agentfield_rt import Agent
from agentfield_rt.plane import providers
from agentfield_rt.plane.server import serve
from agentfield_rt.ports import AdapterFactory, ProviderSettings
from agentfield_rt.recording import recording
from tests.plane.serving import NOBODY, AnsweringAdapter, desk

PIECE_SAMPLES = 24_000
"""A second: nobody wants to wait for ten."""


def recorded_desk() -> Agent:
    """The desk, whose phone calls are recorded."""
    app = desk()
    app.record("phone")
    return app


def _scripted(provider: str, transport: str) -> AdapterFactory:
    def make(_: ProviderSettings) -> AnsweringAdapter:
        return AnsweringAdapter()

    return make


if __name__ == "__main__":
    os.environ["AGENTFIELD_RT_LOCAL_URL"] = NOBODY
    setattr(providers, "adapter_factory", _scripted)  # noqa: B010 - it is imported there, not exported
    recording.SEGMENT_SAMPLES = PIECE_SAMPLES
    serve([recorded_desk()], port=0, data=sys.argv[1])
