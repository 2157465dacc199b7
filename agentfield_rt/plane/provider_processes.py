"""Providers that run on this machine, each in a process of its own that ends with ours."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from types import ModuleType

import msgspec

from agentfield_rt.extensions import Extensions, NotInstalled
from agentfield_rt.plane.errors import ProviderUnavailable

SERVERS = Extensions[ModuleType]("agentfield_rt.provider_servers")
START_MAX_S = 30.0
STOP_MAX_S = 5.0


class _Ready(msgspec.Struct):
    """The line a provider prints when it listens."""

    url: str


def provider_module(provider: str) -> str:
    """The module that runs this provider, as `python -m …`.

    Raises:
        ProviderUnavailable: no installed package brings one.
    """
    try:
        return SERVERS.value(provider)
    except NotInstalled as missing:
        raise ProviderUnavailable(
            f"no package brings a {provider} provider; pip install 'agentfield-rt[all]'"
        ) from missing


class ProviderProcess:
    """One provider process."""

    def __init__(self, process: Process, url: str) -> None:
        self._process = process
        self.url = url

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    @classmethod
    async def start(cls, provider: str, *, seed: int | None = None) -> "ProviderProcess":
        """Start it on a free loopback port and wait until it listens.

        Raises:
            ProviderUnavailable: it is not installed, or ended before it was ready.
        """
        arguments = ["-m", provider_module(provider), "--port", "0", "--exit-with-parent"]
        if seed is not None:
            arguments += ["--seed", str(seed)]
        stderr = None if sys.flags.dev_mode else DEVNULL
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=stderr,
            start_new_session=True,  # a terminal's Ctrl-C is for us; we hang up before it is stopped
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_MAX_S):
                line = await process.stdout.readline()
            ready = msgspec.json.decode(line, type=_Ready)
        except (TimeoutError, msgspec.MsgspecError) as error:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise ProviderUnavailable(
                f"the {provider} provider did not start; run `af provider` to see why"
            ) from error
        return cls(process, ready.url)

    async def stop(self) -> None:
        """End it; it gets a moment to hang up first."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_MAX_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
