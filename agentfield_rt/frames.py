"""What goes into a provider and what comes out of it. Shapes only: no wire format, no journal."""

from dataclasses import dataclass
from enum import StrEnum

SAMPLE_RATE_HZ = 24_000
FRAME_MS = 20
FRAME_BYTES = SAMPLE_RATE_HZ * FRAME_MS // 1000 * 2


class Media(StrEnum):
    """The kind of a frame, as the journal names it."""

    AUDIO = "audio"
    TEXT = "text"
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


InputFrame = AudioFrame | TextFrame | SpeechFrame | ToolResultFrame


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
    """The user's audio could not be understood."""

    item_id: str


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
    """The provider generates no more of this response; audio already sent may still be playing."""

    response_id: str
    status: ResponseStatus


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
    | CallEnded
    | Notice
)
