"""Providers that answer one turn with one request: OpenRouter and others with chat completions."""

from agentfield_adapters.openrouter.adapter import AudioTurnsAdapter
from agentfield_adapters.openrouter.dialect import LOCAL, OPENROUTER
from agentfield_rt.ports import ProviderAdapter, ProviderSettings

__all__ = ["audio_turns_adapter", "local_audio_turns_adapter"]


def audio_turns_adapter(settings: ProviderSettings) -> ProviderAdapter:
    """openrouter/audio_turns. Needs an API key; `settings.base_url` may name another server."""
    return AudioTurnsAdapter(OPENROUTER, settings)


def local_audio_turns_adapter(settings: ProviderSettings) -> ProviderAdapter:
    """local/audio_turns: the provider on this machine; `settings.base_url` says where it listens."""
    return AudioTurnsAdapter(LOCAL, settings)
