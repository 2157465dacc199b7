"""What goes into a provider and what comes out of it. Shapes only: no wire format, no journal."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from agentfield_rt.errors import Reason

SAMPLE_RATE_HZ = 24_000
FRAME_MS = 20
BYTES_PER_MS = SAMPLE_RATE_HZ // 1000 * 2
"""Of mono int16 PCM at that rate, which is what audio is everywhere within the runtime."""
FRAME_BYTES = FRAME_MS * BYTES_PER_MS
IMAGE_BYTES_MAX = 1024 * 1024
"""A large photograph as models look at it. More would keep the voice waiting on a slow line behind it."""


class Media(StrEnum):
    """The kind of a frame, as the journal names it."""

    AUDIO = "audio"
    TEXT = "text"
    IMAGE = "image"
    TURN_END = "turn_end"
    SPEECH = "speech"
    TOOL_RESULT = "tool_result"


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """User audio: mono int16 little-endian PCM at 24 kHz; 20 ms is 960 bytes."""

    frame_id: str
    pcm: bytes

    media = Media.AUDIO

    @property
    def size_bytes(self) -> int:
        return len(self.pcm)


@dataclass(frozen=True, slots=True)
class TextFrame:
    """Something the user typed. It becomes a user item of the conversation and starts no answer by itself."""

    frame_id: str
    text: str

    media = Media.TEXT

    @property
    def size_bytes(self) -> int:
        return len(self.text.encode())


ImageType = Literal["image/png", "image/jpeg"]
"""What providers look at (OpenAI Realtime: `input_image`)."""

ImageDetail = Literal["auto", "low", "high"]
"""How closely they look."""


@dataclass(frozen=True, slots=True)
class ImageFrame:
    """Something the user shows: a PNG or JPEG file of at most `IMAGE_BYTES_MAX`, which starts no answer.

    `detail` is how closely the model looks, which is what it costs; the provider's choice when None.

    Raises:
        ValueError: it is empty, too large, or not a file of that type.
    """

    frame_id: str
    data: bytes
    media_type: ImageType
    detail: ImageDetail | None = None

    media = Media.IMAGE

    def __post_init__(self) -> None:
        if len(self.data) > IMAGE_BYTES_MAX:
            raise ValueError(f"an image has at most {IMAGE_BYTES_MAX} bytes, not {len(self.data)}")
        if image_type(self.data) != self.media_type:
            raise ValueError(f"the image is no {self.media_type} file")

    @property
    def size_bytes(self) -> int:
        return len(self.data)


def image_type(data: bytes) -> ImageType | None:
    """What a file is by its first bytes, whatever it is called; None for one that no provider looks at."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    return "image/jpeg" if data.startswith(b"\xff\xd8\xff") else None


@dataclass(frozen=True, slots=True)
class TurnEndFrame:
    """The user has finished speaking: what ends a turn where no detector does (push to talk).

    Audio sent before it is the turn (OpenAI Realtime: `input_audio_buffer.commit`). Less than 100 ms is none,
    of which `InputRejected` tells.
    """

    frame_id: str

    media = Media.TURN_END
    size_bytes = 0


@dataclass(frozen=True, slots=True)
class SpeechFrame:
    """Something the provider shall speak: `text` word for word, or an answer of its own to `instructions`.

    The response it starts carries `utterance_id` (OpenAI Realtime: `response.create`, `metadata`).
    """

    frame_id: str
    utterance_id: str
    text: str | None = None
    instructions: str | None = None

    media = Media.SPEECH

    @property
    def size_bytes(self) -> int:
        return len((self.text or self.instructions or "").encode())


@dataclass(frozen=True, slots=True)
class ToolResultFrame:
    """The output of a tool the provider called, as JSON text. The provider then goes on with its answer."""

    frame_id: str
    call_id: str
    output: str

    media = Media.TOOL_RESULT

    @property
    def size_bytes(self) -> int:
        return len(self.output.encode())


InputFrame = AudioFrame | TextFrame | ImageFrame | TurnEndFrame | SpeechFrame | ToolResultFrame


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user began to speak; `item_id` will name the turn's audio."""

    item_id: str


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The user stopped; the turn's transcript follows."""

    item_id: str


@dataclass(frozen=True, slots=True)
class InputTranscript:
    """Words of the user: a piece to append while `final` is false, the whole turn when it is true."""

    item_id: str
    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class InputRejected:
    """The user's audio could not be understood.

    `is_turn` is false where there was too little of it to be a turn: `item_id` is the `TurnEndFrame`'s then.
    """

    item_id: str
    is_turn: bool = True


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    """The provider began an answer; `utterance_id` names the `SpeechFrame` that asked for it, if one did."""

    response_id: str
    utterance_id: str | None = None


@dataclass(frozen=True, slots=True)
class OutputAudio:
    """Assistant audio: mono int16 PCM at 24 kHz. Not seen where media flows browser ↔ provider."""

    response_id: str
    item_id: str
    pcm: bytes


@dataclass(frozen=True, slots=True)
class OutputTranscript:
    """A piece of what the assistant says, to append. Pieces may run ahead of the audio."""

    response_id: str
    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class PlaybackStarted:
    """The caller begins to hear this response (media flows browser ↔ provider)."""

    response_id: str


@dataclass(frozen=True, slots=True)
class PlaybackStopped:
    """The caller hears no more of this response; `cleared` when it was cut off."""

    response_id: str
    cleared: bool


@dataclass(frozen=True, slots=True)
class OutputTruncated:
    """The conversation keeps only the first `audio_end_ms` of this item: the part that was heard."""

    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The provider wants a tool. `arguments` is untrusted JSON text."""

    response_id: str
    call_id: str
    name: str
    arguments: str


class ResponseStatus(StrEnum):
    """How a response ended (OpenAI Realtime: `response.done`)."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class ResponseEnded:
    """The provider generates no more of this response; audio already sent may still be playing.

    `reason` is why it is not whole, where the provider says: `rate_limited` may be asked for again later.
    """

    response_id: str
    status: ResponseStatus
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a piece of the provider's work cost. Counts are tokens, and 0 where the provider does not say.

    The details are parts of `input_tokens` and `output_tokens`; `audio_ms` is for work that is paid by time.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    input_text_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    input_cached_tokens: int = 0
    output_text_tokens: int = 0
    output_audio_tokens: int = 0
    output_reasoning_tokens: int = 0
    audio_ms: int = 0


@dataclass(frozen=True, slots=True)
class UsageReported:
    """What a response cost, or putting the user's words into text: then `response_id` is None."""

    usage: Usage
    response_id: str | None = None


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How much of something, `requests` or `tokens`, this account may still use before `reset_s` from now."""

    name: str
    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class RateLimitsReported:
    """How near this account is to its provider's limits. Advice: what is over them is refused by itself."""

    limits: tuple[RateLimit, ...]


@dataclass(frozen=True, slots=True)
class ConnectionExpiring:
    """The provider will end this connection in `left_s`, whatever happens: it is best replaced in a pause."""

    left_s: float


@dataclass(frozen=True, slots=True)
class DigitDialled:
    """The caller pressed a key of their telephone: one of `0123456789*#ABCD`."""

    digit: str


@dataclass(frozen=True, slots=True)
class CallTampered:
    """Somebody else on the call changed what is ours to decide: fields of the session, or `item.…`.

    A caller whose media flows browser ↔ provider is the provider's peer too. The fields have been put back.
    """

    what: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The caller hung up at the provider (media flows browser ↔ provider). The connection's last event."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Any other provider event, by its wire name; `code` is set for a benign error."""

    name: str
    code: str | None = None


ProviderEvent = (
    SpeechStarted
    | SpeechStopped
    | InputTranscript
    | InputRejected
    | ResponseStarted
    | OutputAudio
    | OutputTranscript
    | PlaybackStarted
    | PlaybackStopped
    | OutputTruncated
    | ToolCalled
    | ResponseEnded
    | UsageReported
    | RateLimitsReported
    | ConnectionExpiring
    | DigitDialled
    | CallTampered
    | CallEnded
    | Notice
)
