"""An agent's file run as a server in a process of its own, the way its users run it."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

START_MAX_S = 40.0
STOP_MAX_S = 20.0


@dataclass(frozen=True, slots=True)
class AgentProcess:
    """A running server."""

    url: str
    data: Path
    process: Process

    async def stop(self) -> None:
        """Ctrl-C, and wait until it has ended.

        Raises:
            TimeoutError: it did not end by itself, and was killed.
        """
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_MAX_S)
        except TimeoutError:
            await self.kill()
            raise

    async def kill(self) -> None:
        """SIGKILL: no chance to write anything down."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def agent_process(script: Path, data: Path) -> AsyncGenerator[AgentProcess, None]:
    """Run `script`, which ends in `app.run()`, on a free port with its journal in `data`.

    Raises:
        RuntimeError: it ended before it was ready.
        TimeoutError: it did not get ready.
    """
    environment = {**os.environ, "AGENTFIELD_RT_PORT": "0", "AGENTFIELD_RT_DATA": str(data)}
    process = await asyncio.create_subprocess_exec(sys.executable, str(script), stdout=PIPE, env=environment)
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), START_MAX_S)).decode()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    if " is at " not in line:
        await process.wait()
        raise RuntimeError(f"{script.name} ended with {process.returncode} before it was ready")
    running = AgentProcess(line.split(" is at ")[1].split()[0], data, process)
    try:
        yield running
    finally:
        await running.stop()
