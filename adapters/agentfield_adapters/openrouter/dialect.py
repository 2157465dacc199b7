"""How servers that speak chat completions differ: addresses, keys, models, transcription. Values only."""

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from agentfield_adapters.openai.dialect import LOCAL as LOCAL_REALTIME
from agentfield_adapters.openai.dialect import OPENAI, Dialect
from agentfield_rt.ports import ProviderSettings

_OPENROUTER_HOST = "openrouter.ai"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnsDialect:
    """One kind of server.

    Attributes:
        server: Its name, address and key; the models it is asked for, and how it is told the phrases.
        voice: What it speaks with unless the session says otherwise.
        probe_path: A GET that is free and refuses a wrong key, where the server has it.
        json_transcription: Audio to transcribe goes inside JSON (OpenRouter) and not as a form (OpenAI).
    """

    server: Dialect
    voice: str
    probe_path: str
    json_transcription: bool

    def at(self, settings: ProviderSettings) -> "TurnsDialect":
        """The same for the server the settings name: only OpenRouter itself has its own addresses."""
        host = urlsplit(settings.base_url or "").hostname or _OPENROUTER_HOST
        if not self.json_transcription or host == _OPENROUTER_HOST or host.endswith(f".{_OPENROUTER_HOST}"):
            return self
        server = replace(self.server, model="gpt-audio-mini", transcription_model="whisper-1")
        return replace(self, server=server, probe_path="models", json_transcription=False)


OPENROUTER = TurnsDialect(
    server=replace(
        OPENAI,
        name="openrouter",
        base_url="https://openrouter.ai/api/v1",
        model="openai/gpt-audio-mini",
        transcription_model="openai/whisper-1",
    ),
    voice="alloy",
    probe_path="key",
    json_transcription=True,
)

LOCAL = TurnsDialect(
    server=replace(LOCAL_REALTIME, model="gpt-audio", transcription_model="whisper-1"),
    voice="marin",
    probe_path="models",
    json_transcription=False,
)
