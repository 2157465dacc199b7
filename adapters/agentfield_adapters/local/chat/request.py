"""What a client may ask for (OpenAI: `POST /v1/chat/completions`), checked as strictly as the vendor does.

Only what has an effect here is taken, with the few settings that every client sends. Everything else is
refused, because a client that is told nothing believes that it was heard.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from agentfield_adapters.local.protocol.session import Voice
from agentfield_adapters.local.protocol.validation import Refusal, decoded

_NEEDS_AUDIO = "gpt-audio"

OlderVoice = Literal["fable", "nova", "onyx"]


class InputSound(Struct, frozen=True, forbid_unknown_fields=True):
    """A sound file in base64."""

    data: bytes
    format: str


class TextPart(Struct, frozen=True, forbid_unknown_fields=True, tag="text"):
    """Words."""

    text: str


class AudioPart(Struct, frozen=True, forbid_unknown_fields=True, tag="input_audio"):
    """Something the user said."""

    input_audio: InputSound


class System(Struct, frozen=True, forbid_unknown_fields=True, tag_field="role", tag="system"):
    """Instructions. A part that begins with `#JSGF` is the grammar of what callers say."""

    content: str | list[TextPart]
    name: str | UnsetType = UNSET


class Developer(Struct, frozen=True, forbid_unknown_fields=True, tag_field="role", tag="developer"):
    """As `system`."""

    content: str | list[TextPart]
    name: str | UnsetType = UNSET


class User(Struct, frozen=True, forbid_unknown_fields=True, tag_field="role", tag="user"):
    """A turn of the user."""

    content: str | list[TextPart | AudioPart]
    name: str | UnsetType = UNSET


class CalledFunction(Struct, frozen=True, forbid_unknown_fields=True):
    """What was called; `arguments` is JSON text."""

    name: str
    arguments: str


class CalledTool(Struct, frozen=True, forbid_unknown_fields=True, tag="function"):
    """A call the assistant made."""

    id: str
    function: CalledFunction


class Assistant(Struct, frozen=True, forbid_unknown_fields=True, tag_field="role", tag="assistant"):
    """A turn of the assistant."""

    content: str | list[TextPart] | None = None
    tool_calls: list[CalledTool] = []
    name: str | UnsetType = UNSET


class Tool(Struct, frozen=True, forbid_unknown_fields=True, tag_field="role", tag="tool"):
    """What a call returned."""

    tool_call_id: str
    content: str | list[TextPart]


Message = System | Developer | User | Assistant | Tool


class Function(Struct, frozen=True, forbid_unknown_fields=True):
    """A function the model may call; `parameters` is a JSON schema."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET
    strict: bool | None = None


class FunctionTool(Struct, frozen=True, forbid_unknown_fields=True, tag="function"):
    """A tool; only functions are."""

    function: Function


class NamedFunction(Struct, frozen=True, forbid_unknown_fields=True):
    """The function a `tool_choice` names."""

    name: str


class NamedTool(Struct, frozen=True, forbid_unknown_fields=True, tag="function"):
    """A `tool_choice` that names one function."""

    function: NamedFunction


class AudioOut(Struct, frozen=True, forbid_unknown_fields=True):
    """How to speak."""

    voice: Voice | OlderVoice
    format: Literal["wav", "aac", "mp3", "flac", "opus", "pcm16"]


class StreamOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`include_usage` asks for a last chunk with the number of tokens."""

    include_usage: bool = False
    include_obfuscation: bool = False


class ChatRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A request for one answer. `temperature`, `top_p`, `seed` and `user` are taken, without effect."""

    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[Message], Meta(min_length=1, max_length=2000)]
    modalities: list[Literal["text", "audio"]] | None = None
    audio: AudioOut | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    tools: list[FunctionTool] = []
    tool_choice: Literal["auto", "none", "required"] | NamedTool = "auto"
    parallel_tool_calls: bool = True
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    seed: int | None = None
    user: str | UnsetType = UNSET

    @property
    def speaks(self) -> bool:
        """Whether the answer is spoken."""
        return "audio" in (self.modalities or ())

    @property
    def counts(self) -> bool:
        """Whether the client wants to know the number of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage


_decoder = msgspec.json.Decoder(ChatRequest)


def parse_request(body: bytes) -> ChatRequest:
    """Return the request in a body.

    Raises:
        Refusal: It is not JSON, a field is missing, unknown or wrong, or two of them do not go together.
    """
    request = decoded(_decoder, body, prefix="")
    if request.speaks and request.audio is None:
        raise Refusal("missing_required_parameter", "Missing required parameter: 'audio'.", "audio")
    if request.audio is not None and not request.speaks:
        raise Refusal("invalid_value", "'audio' needs 'audio' among the modalities.", "modalities")
    if not request.stream:
        raise Refusal("unsupported_value", "This provider streams: send 'stream': true.", "stream")
    if request.audio is not None and request.audio.format != "pcm16":
        message = f"'{request.audio.format}' is not supported when streaming: use 'pcm16'."
        raise Refusal("unsupported_value", f"Unsupported value: 'audio.format': {message}", "audio.format")
    _check_sounds(request)
    _check_calls(request.messages)
    return request


def _check_sounds(request: ChatRequest) -> None:
    hears = False
    for at, message in enumerate(request.messages):
        for place, part in enumerate(message.content if isinstance(message, User) else ()):
            if isinstance(part, AudioPart):
                hears = True
                if part.input_audio.format != "wav":
                    param = f"messages[{at}].content[{place}].input_audio.format"
                    raise Refusal("invalid_value", "This provider hears 'wav' only.", param)
    if request.model.rpartition("/")[2].startswith(_NEEDS_AUDIO) and not (hears or request.speaks):
        needs = "This model requires that either input content or output modality contain audio."
        raise Refusal("invalid_value", needs, "model")


def _check_calls(messages: list[Message]) -> None:
    """Every call is answered by the messages right behind it, and nothing else is."""
    open_calls: set[str] = set()
    for at, message in enumerate(messages):
        if isinstance(message, Tool):
            if message.tool_call_id not in open_calls:
                raise Refusal(
                    "invalid_value",
                    "Messages with role 'tool' must answer a 'tool_calls' of the message before them.",
                    f"messages[{at}].role",
                )
            open_calls.discard(message.tool_call_id)
            continue
        _require_none_open(open_calls, at)
        if isinstance(message, Assistant):
            if message.content is None and not message.tool_calls:
                param = f"messages[{at}].content"
                raise Refusal("invalid_value", "An assistant message needs content or tool_calls.", param)
            open_calls = {call.id for call in message.tool_calls}
    _require_none_open(open_calls, len(messages))


def _require_none_open(open_calls: set[str], at: int) -> None:
    if open_calls:
        message = "An assistant message with 'tool_calls' must be followed by an answer to each of them."
        raise Refusal("invalid_value", message, f"messages[{max(at - 1, 0)}].role")
