"""Which providers there are, over which transports, and where their adapters come from.

Provider and transport are always named, never inferred. The texts of refusals are AgentField's.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points

from agentfield_rt.errors import RecordingUnavailable, UnsupportedTransport
from agentfield_rt.ports import AdapterFactory, EncoderFactory

ADAPTERS_GROUP = "agentfield_rt.adapters"
ENCODERS_GROUP = "agentfield_rt.recording_encoders"
RECORDING_FORMAT = "ogg_opus"

TRANSPORTS: Mapping[str, tuple[str, ...]] = {
    "local": ("audio_turns", "webrtc", "websocket"),
    "openai": ("webrtc", "websocket"),
    "openrouter": ("audio_turns",),
}


def validate_pair(provider: str | None, transport: str | None) -> tuple[str, str]:
    """The normalised pair.

    Raises:
        UnsupportedTransport: one is missing or unknown, or they do not go together.
    """
    if not provider or not provider.strip():
        raise UnsupportedTransport("Session provider is required; AgentField does not infer providers.")
    if not transport or not transport.strip():
        raise UnsupportedTransport("Session transport is required; AgentField does not infer transports.")
    provider_name, transport_name = _normalise(provider), _normalise(transport)
    supported = TRANSPORTS.get(provider_name)
    if supported is None:
        raise UnsupportedTransport(
            f"Unknown session provider '{provider}'. Known providers: {', '.join(sorted(TRANSPORTS))}. "
            "Register provider capabilities before using a custom session provider."
        )
    if transport_name not in supported:
        raise UnsupportedTransport(
            f"Unsupported session transport '{transport_name}' for provider '{provider_name}'. "
            f"Supported transports: {', '.join(sorted(supported))}. AgentField does not infer or switch "
            "providers; set provider and transport explicitly."
        )
    return provider_name, transport_name


def _normalise(word: str) -> str:
    return word.strip().lower().replace("-", "_")


def adapter_factory(provider: str, transport: str) -> AdapterFactory:
    """The factory an installed package registered for this pair.

    Raises:
        UnsupportedTransport: nobody did; says which pairs have an adapter.
    """
    found = {entry.name: entry for entry in entry_points(group=ADAPTERS_GROUP)}
    entry = found.get(f"{provider}/{transport}")
    if entry is None:
        raise UnsupportedTransport(
            f"No adapter is installed for {provider}/{transport}. Installed: {', '.join(sorted(found))}."
        )
    try:
        factory: AdapterFactory = entry.load()
    except ImportError as error:
        raise UnsupportedTransport(
            f"The adapter for {provider}/{transport} needs a package that is not installed ({error.name}); "
            "pip install 'agentfield-rt[all]'."
        ) from error
    return factory


def encoder_factory() -> EncoderFactory:
    """What encodes recordings, from the package that brings it.

    Raises:
        RecordingUnavailable: none does, or it lacks a package.
    """
    hint = "pip install 'agentfield-rt[recording]'"
    for entry in entry_points(group=ENCODERS_GROUP, name=RECORDING_FORMAT):
        try:
            factory: EncoderFactory = entry.load()
        except ImportError as error:
            raise RecordingUnavailable(f"recording needs a package that is not installed; {hint}") from error
        return factory
    raise RecordingUnavailable(f"no package that encodes recordings is installed; {hint}")
