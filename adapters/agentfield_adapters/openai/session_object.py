"""The session object the provider is configured with (OpenAI Realtime: `session`). Pure."""

from typing import Any

from agentfield_adapters.openai.dialect import Dialect
from agentfield_adapters.openai.wire_audio import wire_type
from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.ports import AudioFormat, SessionConfig, ToolSpec
from agentfield_rt.turn_detection import interrupts


def session_object(config: SessionConfig, dialect: Dialect, *, carries_audio: bool) -> dict[str, Any]:
    """Say everything that matters, because the defaults are the provider's and an update merges.

    Args:
        carries_audio: Audio goes over the websocket; otherwise a call negotiates its own formats.

    Raises:
        ProviderError: it asks for a format where there is none to ask for.
    """
    if not carries_audio and {config.input_format, config.output_format} != {AudioFormat.PCM16}:
        raise ProviderError(
            "a call negotiates its formats by SDP; audio formats are for transport=websocket",
            reason=Reason.INVALID_REQUEST,
        )
    audio_input: dict[str, Any] = {
        "transcription": _transcription(config, dialect),
        "turn_detection": _turn_detection(config),
    }
    audio_output: dict[str, Any] = {}
    if config.voice is not None:
        audio_output["voice"] = config.voice
    if carries_audio:
        audio_input["format"] = wire_type(config.input_format)
        audio_output["format"] = wire_type(config.output_format)
    session: dict[str, Any] = {
        "type": "realtime",
        "output_modalities": ["audio" if "audio" in config.modalities else "text"],
        "instructions": config.instructions,
        "tools": [_tool(tool) for tool in config.tools],
        "tool_choice": "auto",
        "audio": {"input": audio_input},
    }
    if audio_output:
        session["audio"]["output"] = audio_output
    return _flat(session, config) if dialect.beta == "names and session" else session


def _flat(session: dict[str, Any], config: SessionConfig) -> dict[str, Any]:
    """The same as it was written before the protocol was released."""
    heard, spoken = session["audio"]["input"], session["audio"].get("output", {})
    flat = {name: session[name] for name in ("instructions", "tools", "tool_choice")}
    flat["modalities"] = ["audio", "text"] if session["output_modalities"] == ["audio"] else ["text"]
    flat["input_audio_format"], flat["output_audio_format"] = config.input_format, config.output_format
    flat["input_audio_transcription"] = heard["transcription"]
    flat["turn_detection"] = heard["turn_detection"]
    return flat | ({"voice": spoken["voice"]} if "voice" in spoken else {})


def _transcription(config: SessionConfig, dialect: Dialect) -> dict[str, str]:
    """Never null: without it the user's words would not be known to anyone but the model."""
    wanted = {
        "model": dialect.transcription_model,
        "prompt": dialect.transcription_prompt(config),
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _turn_detection(config: SessionConfig) -> dict[str, Any] | None:
    """The whole object: how deep an update merges into it is not documented."""
    if config.turn_detection is None:
        return None
    return {
        **config.turn_detection,
        "create_response": config.create_response,
        "interrupt_response": interrupts(config.turn_detection),
    }


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
