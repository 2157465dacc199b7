"""Providers that speak OpenAI's realtime protocol: the service itself and the provider on this machine."""

from agentfield_adapters.openai.dialect import LOCAL, OPENAI
from agentfield_adapters.openai.webrtc import WebrtcAdapter
from agentfield_adapters.openai.websocket import WebsocketAdapter
from agentfield_rt.ports import ProviderAdapter, ProviderSettings

__all__ = ["local_webrtc_adapter", "local_websocket_adapter", "webrtc_adapter", "websocket_adapter"]


def websocket_adapter(settings: ProviderSettings) -> ProviderAdapter:
    """openai/websocket: audio through this process. Needs an API key."""
    return WebsocketAdapter(OPENAI, settings)


def webrtc_adapter(settings: ProviderSettings) -> ProviderAdapter:
    """openai/webrtc: audio between browser and provider. Needs an API key, which stays here."""
    return WebrtcAdapter(OPENAI, settings)


def local_websocket_adapter(settings: ProviderSettings) -> ProviderAdapter:
    """local/websocket: the provider on this machine; `settings.base_url` says where it listens."""
    return WebsocketAdapter(LOCAL, settings)


def local_webrtc_adapter(settings: ProviderSettings) -> ProviderAdapter:
    """local/webrtc: as openai/webrtc, with the provider on this machine."""
    return WebrtcAdapter(LOCAL, settings)
