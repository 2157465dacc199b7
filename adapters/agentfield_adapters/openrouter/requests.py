"""The body of one request: a pure function of the conversation and of what is asked of it."""

from dataclasses import dataclass
from typing import Any

from agentfield_adapters.openrouter.line import Line
from agentfield_rt.frames import SpeechFrame

READ_ALOUD = "You are a voice that reads aloud. Speak the user's text word for word and add nothing."


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the model shall do: say `text` and nothing else, or answer, with `instructions` of its own."""

    utterance_id: str | None = None
    text: str | None = None
    instructions: str | None = None

    @classmethod
    def by(cls, frame: SpeechFrame) -> "Wanted":
        return cls(utterance_id=frame.utterance_id, text=frame.text, instructions=frame.instructions)


def request_body(wanted: Wanted, line: Line) -> dict[str, Any]:
    """A request for one streamed answer (OpenAI: `POST /chat/completions`).

    Words to be said verbatim are sent alone: nothing that was said before shall colour them.
    """
    config, dialect = line.config, line.dialect
    body: dict[str, Any] = {
        "model": config.model or dialect.server.model,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if "audio" in config.modalities:
        body["modalities"] = ["text", "audio"]
        body["audio"] = {"voice": config.voice or dialect.voice, "format": "pcm16"}
    else:
        body["modalities"] = ["text"]
    if wanted.text is not None:
        body["messages"] = [
            {"role": "system", "content": READ_ALOUD},
            {"role": "user", "content": f"Say exactly: {wanted.text}"},
        ]
        return body
    body["messages"] = [*_system(wanted, line), *line.conversation.messages()]
    if config.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                },
            }
            for tool in config.tools
        ]
    return body


def _system(wanted: Wanted, line: Line) -> list[dict[str, Any]]:
    """The instructions, and what callers may say as a part of its own."""
    instructions = line.config.instructions if wanted.instructions is None else wanted.instructions
    parts = [text for text in (instructions, line.hints) if text]
    return (
        [{"role": "system", "content": [{"type": "text", "text": text} for text in parts]}] if parts else []
    )
