"""The session object of the Realtime wire: what a client may ask for, and how an update is merged into it.

A field that is `UNSET` was not sent. Every object refuses unknown fields, because the vendor does.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, structs

SILENCE_MS_DEFAULT = 200  # what the service reports; its documentation says 500
SESSION_LIFETIME_S = 3600
MODEL_DEFAULT = "gpt-realtime"

Voice = Literal["marin", "cedar", "alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse"]
OutputTokensMax = Annotated[int, Meta(ge=1, le=4096)] | Literal["inf"]


class Pcm(Struct, frozen=True, forbid_unknown_fields=True, tag="audio/pcm"):
    """16-bit little-endian mono at 24 kHz, 48 bytes a millisecond."""

    rate: Literal[24000] = 24000


class MuLaw(Struct, frozen=True, forbid_unknown_fields=True, tag="audio/pcmu"):
    """G.711 µ-law at 8 kHz, 8 bytes a millisecond."""


class ALaw(Struct, frozen=True, forbid_unknown_fields=True, tag="audio/pcma"):
    """G.711 A-law at 8 kHz, 8 bytes a millisecond."""


AudioFormat = Pcm | MuLaw | ALaw


class NoiseReduction(Struct, frozen=True, forbid_unknown_fields=True):
    """Accepted and reported, without effect: callers of this provider are on a clean line."""

    type: Literal["near_field", "far_field"]


class Transcription(Struct, frozen=True, forbid_unknown_fields=True):
    """Speech recognition of the caller.

    Attributes:
        prompt: A JSGF grammar starting with `#JSGF` is what the recogniser listens for; any other
            text leaves it with its small grammar of everyday phrases.
    """

    model: str | UnsetType = UNSET
    language: str | UnsetType = UNSET
    prompt: str | UnsetType = UNSET


class ServerVad(Struct, frozen=True, forbid_unknown_fields=True, tag="server_vad"):
    """A turn ends after `silence_duration_ms` without speech."""

    threshold: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.5
    prefix_padding_ms: Annotated[int, Meta(ge=0, le=5000)] = 300
    silence_duration_ms: Annotated[int, Meta(ge=64, le=10000)] = SILENCE_MS_DEFAULT
    idle_timeout_ms: None = None
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(Struct, frozen=True, forbid_unknown_fields=True, tag="semantic_vad"):
    """Judged here by silence alone: the more eager, the shorter."""

    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


TurnDetection = ServerVad | SemanticVad


class AudioInput(Struct, frozen=True, forbid_unknown_fields=True):
    """`session.audio.input`."""

    format: AudioFormat | UnsetType = UNSET
    noise_reduction: NoiseReduction | UnsetType | None = UNSET
    transcription: Transcription | UnsetType | None = UNSET
    turn_detection: TurnDetection | UnsetType | None = UNSET


class AudioOutput(Struct, frozen=True, forbid_unknown_fields=True):
    """`session.audio.output`."""

    format: AudioFormat | UnsetType = UNSET
    voice: Voice | UnsetType = UNSET
    speed: Annotated[float, Meta(ge=0.25, le=1.5)] | UnsetType = UNSET


class Audio(Struct, frozen=True, forbid_unknown_fields=True):
    """`session.audio`."""

    input: AudioInput | UnsetType = UNSET
    output: AudioOutput | UnsetType = UNSET


class FunctionTool(Struct, frozen=True, forbid_unknown_fields=True, tag="function"):
    """A function the model may call; `parameters` is a JSON schema."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET


class FunctionChoice(Struct, frozen=True, forbid_unknown_fields=True, tag="function"):
    """A `tool_choice` that names one function."""

    name: str


ToolChoice = Literal["auto", "none", "required"] | FunctionChoice


class StoredPrompt(Struct, frozen=True, forbid_unknown_fields=True):
    """A prompt kept by the vendor. Accepted and reported; there is nothing stored here."""

    id: str
    version: str | UnsetType = UNSET
    variables: dict[str, Any] | UnsetType = UNSET


class RetentionRatio(Struct, frozen=True, forbid_unknown_fields=True, tag="retention_ratio"):
    """How much of a full context is kept. Accepted and reported: nothing overflows here."""

    retention_ratio: Annotated[float, Meta(ge=0.0, le=1.0)]
    token_limits: dict[str, int] | UnsetType = UNSET


class TracingConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Accepted and reported; no trace is sent anywhere."""

    workflow_name: str | UnsetType = UNSET
    group_id: str | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET


class SessionPatch(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a client may send as `session` (OpenAI Realtime: `session.update`, `POST /realtime/calls`)."""

    type: Literal["realtime"]
    model: str | UnsetType = UNSET
    output_modalities: list[Literal["audio", "text"]] | UnsetType = UNSET
    instructions: str | UnsetType = UNSET
    tools: list[FunctionTool] | UnsetType = UNSET
    tool_choice: ToolChoice | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    max_output_tokens: OutputTokensMax | UnsetType = UNSET
    tracing: Literal["auto"] | TracingConfig | UnsetType | None = UNSET
    truncation: Literal["auto", "disabled"] | RetentionRatio | UnsetType = UNSET
    prompt: StoredPrompt | UnsetType | None = UNSET
    include: list[Literal["item.input_audio_transcription.logprobs"]] | UnsetType | None = UNSET
    audio: Audio | UnsetType = UNSET


class InputSettings(Struct, frozen=True):
    """`audio.input` as reported: every field has a value."""

    format: AudioFormat = Pcm()
    noise_reduction: NoiseReduction | None = None
    transcription: Transcription | None = None
    turn_detection: TurnDetection | None = ServerVad()


class OutputSettings(Struct, frozen=True):
    """`audio.output` as reported: every field has a value."""

    format: AudioFormat = Pcm()
    voice: Voice = "marin"
    speed: float = 1.0


class AudioSettings(Struct, frozen=True):
    """`audio` as reported."""

    input: InputSettings = InputSettings()
    output: OutputSettings = OutputSettings()


class Session(Struct, frozen=True, kw_only=True):
    """A session as the service reports it; every field has a value.

    Attributes:
        expires_at: Seconds since the epoch.
    """

    id: str
    expires_at: int
    object: Literal["realtime.session"] = "realtime.session"
    type: Literal["realtime"] = "realtime"
    model: str = MODEL_DEFAULT
    output_modalities: tuple[Literal["audio", "text"], ...] = ("audio",)
    instructions: str = ""
    tools: tuple[FunctionTool, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    max_output_tokens: OutputTokensMax = "inf"
    tracing: Literal["auto"] | TracingConfig | None = None
    truncation: Literal["auto", "disabled"] | RetentionRatio = "auto"
    prompt: StoredPrompt | None = None
    include: tuple[str, ...] | None = None
    audio: AudioSettings = AudioSettings()

    def merged(self, patch: SessionPatch) -> Session:
        """Return this session with the fields of `patch`: absent keeps, a value replaces."""
        sent = _sent(patch)
        for name in ("tools", "output_modalities", "include"):
            if isinstance(sent.get(name), list):
                sent[name] = tuple(sent[name])
        if isinstance(patch.audio, Audio):
            sent["audio"] = AudioSettings(
                input=structs.replace(self.audio.input, **_sent(patch.audio.input)),
                output=structs.replace(self.audio.output, **_sent(patch.audio.output)),
            )
        return structs.replace(self, **sent)


def _sent(patch: Struct | UnsetType) -> dict[str, Any]:
    """Return the fields a client sent."""
    if isinstance(patch, UnsetType):
        return {}
    fields = ((name, getattr(patch, name)) for name in patch.__struct_fields__)
    return {name: value for name, value in fields if value is not UNSET}
