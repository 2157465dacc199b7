"""The session object the provider is configured with (OpenAI Realtime: `session`). Pure."""

from typing import Any

from agentfield_adapters.openai.dialect import Dialect
from agentfield_rt.ports import SessionConfig, ToolSpec

_PCM = {"type": "audio/pcm", "rate": 24_000}


def session_object(config: SessionConfig, dialect: Dialect, *, carries_audio: bool) -> dict[str, Any]:
    """Say everything that matters, because the defaults are the provider's and an update merges.

    Args:
        carries_audio: Audio goes over the websocket; otherwise a call negotiates its own formats.
    """
    audio_input: dict[str, Any] = {
        "transcription": _transcription(config, dialect),
        "turn_detection": _turn_detection(config),
    }
    audio_output: dict[str, Any] = {}
    if config.voice is not None:
        audio_output["voice"] = config.voice
    if carries_audio:
        audio_input["format"] = audio_output["format"] = _PCM
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
    return session


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
        "interrupt_response": True,
    }


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
