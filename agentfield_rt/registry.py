"""Which providers there are, over which transports, and where their adapters come from.

Provider and transport are always named, never inferred. The texts of refusals are AgentField's.
"""

from collections.abc import Mapping

from agentfield_rt.errors import RecordingUnavailable, UnsupportedTransport
from agentfield_rt.extensions import Extensions, NotInstalled
from agentfield_rt.ports import AdapterFactory, EncoderFactory

ADAPTERS = Extensions[AdapterFactory]("agentfield_rt.adapters")
ENCODERS = Extensions[EncoderFactory]("agentfield_rt.recording_encoders")
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
    try:
        return ADAPTERS.load(f"{provider}/{transport}")
    except NotInstalled as missing:
        raise UnsupportedTransport(
            f"The adapter for {provider}/{transport} needs a package that is not installed "
            f"({missing.lacks}); pip install 'agentfield-rt[all]'."
            if missing.lacks
            else f"No adapter is installed for {provider}/{transport}. Installed: {', '.join(missing.known)}."
        ) from missing


def encoder_factory() -> EncoderFactory:
    """What encodes recordings, from the package that brings it.

    Raises:
        RecordingUnavailable: none does, or it lacks a package.
    """
    hint = "pip install 'agentfield-rt[recording]'"
    try:
        return ENCODERS.load(RECORDING_FORMAT)
    except NotInstalled as missing:
        why = (
            "recording needs a package that is not installed"
            if missing.lacks
            else "no package that encodes recordings is installed"
        )
        raise RecordingUnavailable(f"{why}; {hint}") from missing
