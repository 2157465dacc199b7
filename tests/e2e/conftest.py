"""A real order desk in a process of its own, and speech for its callers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from agentfield_adapters.local.mouth.caller import Samples, silence, spoken, write_wav
from agentfield_journal import open_journal, verify
from agentfield_rt.testing.agent_process import AgentProcess, agent_process

EXAMPLE = Path(__file__).parents[2] / "examples" / "voice_support.py"
RATE_HZ = 48_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AgentProcess]:
    """One order desk for all callers, as it takes seconds to start; afterwards its journal must verify."""
    async with agent_process(EXAMPLE, tmp_path_factory.mktemp("desk") / "data") as running:
        yield running
    async with open_journal(f"sqlite:///{running.data / 'journal.db'}", read_only=True) as journal:
        report = await verify(journal)
    assert report.sound
    assert report.records > 0


@pytest.fixture
def speak(tmp_path: Path) -> Callable[..., Awaitable[Path]]:
    """Make a recording: texts are spoken, numbers are seconds of a quiet room."""

    async def make(*parts: str | float, voice: str = "en-us+f5") -> Path:
        pieces: list[Samples] = []
        for part in parts:
            if isinstance(part, str):
                pieces.append(await spoken(part, voice=voice, rate_hz=RATE_HZ))
            else:
                pieces.append(silence(int(part * 1000), rate_hz=RATE_HZ))
        path = tmp_path / "caller.wav"
        write_wav(path, np.concatenate(pieces), rate_hz=RATE_HZ)
        return path

    return make
