"""Providers that speak OpenAI's realtime protocol: the service itself and the provider on this machine."""

from agentfield_adapters.openai.dialect import LOCAL, dialect_of
from agentfield_adapters.openai.webrtc import WebrtcAdapter
from agentfield_adapters.openai.websocket import WebsocketAdapter
from agentfield_rt.errors import UnsupportedTransport
from agentfield_rt.ports import ProviderAdapter, ProviderSettings

__all__ = ["local_webrtc_adapter", "local_websocket_adapter", "webrtc_adapter", "websocket_adapter"]


def websocket_adapter(settings: ProviderSettings) -> ProviderAdapter:
    """openai/websocket: audio through this process. Needs an API key, and for another server a dialect."""
    return WebsocketAdapter(dialect_of(settings), settings)


def webrtc_adapter(settings: ProviderSettings) -> ProviderAdapter:
    """openai/webrtc: audio between browser and provider. Needs an API key, which stays here.

    Raises:
        UnsupportedTransport: the server that the settings name takes no calls.
    """
    dialect = dialect_of(settings)
    if not dialect.takes_calls:
        raise UnsupportedTransport(
            f"a server of dialect {dialect.name} takes no WebRTC calls from here; transport=websocket works"
        )
    return WebrtcAdapter(dialect, settings)


def local_websocket_adapter(settings: ProviderSettings) -> ProviderAdapter:
    """local/websocket: the provider on this machine; `settings.base_url` says where it listens."""
    return WebsocketAdapter(LOCAL, settings)


def local_webrtc_adapter(settings: ProviderSettings) -> ProviderAdapter:
    """local/webrtc: as openai/webrtc, with the provider on this machine."""
    return WebrtcAdapter(LOCAL, settings)
