"""The local provider as a test runs it: its own process, on a free port."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

KEY = {"Authorization": "Bearer any"}


@dataclass(frozen=True, slots=True)
class RunningProvider:
    """A provider that is ready."""

    url: str
    process: subprocess.Popen[bytes]

    @property
    def websocket_url(self) -> str:
        """Where sessions begin."""
        return self.url.replace("http", "ws", 1) + "/v1/realtime"


@contextmanager
def running_provider(*options: str) -> Generator[RunningProvider]:
    """Run a provider until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "agentfield_adapters.local", "--exit-with-parent", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        yield RunningProvider(ready["url"], process)
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()
