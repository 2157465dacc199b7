"""Who the providers are for this plane: addresses, keys, and the process behind `local`."""

import asyncio

from agentfield_rt.config import Settings
from agentfield_rt.plane.errors import ProviderUnavailable
from agentfield_rt.plane.provider_processes import ProviderProcess
from agentfield_rt.ports import ProviderAdapter, ProviderSettings
from agentfield_rt.registry import adapter_factory


class Providers:
    """Makes adapters. Provider keys never leave this object but into an adapter."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._local: ProviderProcess | None = None
        self._lock = asyncio.Lock()
        self._restart: asyncio.Task[str] | None = None

    async def adapter(self, provider: str, transport: str) -> ProviderAdapter:
        """A fresh adapter for one session.

        Raises:
            UnsupportedTransport: no adapter is installed for the pair.
            ProviderUnavailable: its key is missing, or its process does not start.
        """
        factory = adapter_factory(provider, transport)
        return factory(await self._provider_settings(provider, transport))

    async def start_local(self) -> str:
        """The local provider's address; started if it does not run yet, or not any more.

        Raises:
            ProviderUnavailable: it does not start.
        """
        if self.settings.local_url is not None:
            return self.settings.local_url
        async with self._lock:
            if self._local is None or not self._local.is_running:
                self._local = await ProviderProcess.start("local")
            return self._local.url

    @property
    def local_pid(self) -> int | None:
        """The local provider's process, if this plane started one and it lives."""
        return self._local.pid if self._local is not None and self._local.is_running else None

    async def require_local(self) -> None:
        """Start the local provider again if it was started and has ended; returns when it runs.

        Raises:
            ProviderUnavailable: it does not start.
        """
        if self._local is None or self._local.is_running:
            return
        if self._restart is None or self._restart.done():
            self._restart = asyncio.create_task(self.start_local(), name="restart the local provider")
        await asyncio.shield(self._restart)  # it goes on starting when whoever asks cannot wait

    async def close(self) -> None:
        if self._restart is not None:
            self._restart.cancel()
            await asyncio.wait([self._restart])
        if self._local is not None:
            await self._local.stop()
            self._local = None

    async def _provider_settings(self, provider: str, transport: str) -> ProviderSettings:
        if provider == "local":
            url = await self.start_local()
            return ProviderSettings(base_url=f"{url}/v1", api_key="local", strict=self.settings.strict_events)
        settings = self.settings
        if provider == "openrouter":
            key, base_url, dialect = settings.openrouter_api_key, settings.openrouter_base_url, None
        else:
            key, base_url, dialect = (
                settings.openai_api_key,
                settings.openai_base_url,
                settings.openai_dialect,
            )
        if key is None:
            name = f"{provider.upper()}_API_KEY"
            raise ProviderUnavailable(f"{name} is required for provider={provider} transport={transport}")
        return ProviderSettings(
            base_url=base_url, api_key=key.get_secret_value(), dialect=dialect, strict=settings.strict_events
        )
