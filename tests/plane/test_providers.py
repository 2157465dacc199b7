"""The local provider's process, as the plane keeps it."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from agentfield_rt.config import Settings
from agentfield_rt.plane.providers import Providers


@pytest.mark.asyncio
async def test_a_local_provider_that_died_is_started_again_for_the_next_session(tmp_path: Path) -> None:
    providers = Providers(Settings(data=tmp_path, local_url=None))
    try:
        first_url = await providers.start_local()
        first_pid = providers.local_pid
        assert first_pid is not None
        assert await providers.start_local() == first_url
        os.kill(first_pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            while providers.local_pid is not None:  # noqa: ASYNC110 - its end is nobody's event
                await asyncio.sleep(0.01)
        assert await providers.start_local() != first_url
        assert providers.local_pid not in (None, first_pid)
    finally:
        await providers.close()
