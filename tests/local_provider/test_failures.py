"""What happens when a part of a call dies: a helper process, or the caller without a word."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_provider.provider_process import RunningProvider, running_provider
from tests.local_provider.realtime_client import session
from tests.local_provider.test_calls import close_code

COMPLETED = "conversation.item.input_audio_transcription.completed"
CALLER = """
import asyncio, sys
from tests.local_provider.caller_peer import CallerPeer
from tests.local_provider.provider_process import RunningProvider

async def main():
    peer = CallerPeer()
    await peer.dial(RunningProvider(sys.argv[1], None))
    print(peer.call_id, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def fresh() -> Iterator[RunningProvider]:
    """A provider whose helpers may be killed."""
    with running_provider("--seed", "7") as running:
        yield running


def kill_helper(provider: RunningProvider, name: str) -> None:
    """Kill the provider's helper process whose module has `name` in it."""
    pid = provider.process.pid
    helpers = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    (found,) = [helper for helper in helpers if name in Path(f"/proc/{helper}/cmdline").read_text()]
    os.kill(int(found), signal.SIGKILL)


@pytest.mark.asyncio
async def test_after_the_recogniser_died_the_next_turn_is_understood(fresh: RunningProvider) -> None:
    async with session(fresh) as client:
        await client.next()
        await client.listen_for_requests(create_response=False)
        await client.speak("goodbye")
        await client.until(COMPLETED)
        kill_helper(fresh, "ears")
        await client.speak("where is my order")
        assert (await client.until(COMPLETED))["transcript"] == "where is my order"


@pytest.mark.asyncio
async def test_an_answer_fails_when_the_mouth_dies_and_the_next_one_is_spoken(fresh: RunningProvider) -> None:
    async with session(fresh) as client:
        await client.next()
        await client.say("Hello.")
        await client.until("response.done")
        kill_helper(fresh, "mouth")
        await client.say("Hello again.")
        first = (await client.until("response.done"))["response"]
        await client.say("And again.")
        second = (await client.until("response.done"))["response"]
        assert first["status"] in ("completed", "failed")
        assert second["status"] == "completed"


@pytest.mark.asyncio
async def test_a_caller_that_is_killed_is_noticed_within_seconds(provider: RunningProvider) -> None:
    caller = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CALLER, provider.url, stdout=asyncio.subprocess.PIPE
    )
    assert caller.stdout is not None
    try:
        call_id = (await caller.stdout.readline()).decode().strip()
        async with session(provider, f"call_id={call_id}") as sideband:
            await sideband.configure()
            caller.kill()
            began = asyncio.get_running_loop().time()
            assert await close_code(sideband) == 1000
            assert asyncio.get_running_loop().time() - began < 8
    finally:
        if caller.returncode is None:
            caller.kill()
        await caller.wait()
