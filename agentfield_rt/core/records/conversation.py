"""The conversation on top of the provider boundary: session, turns, utterances, tools."""

from enum import StrEnum
from typing import ClassVar

from agentfield_rt.core.records.record import Record
from agentfield_rt.errors import CloseReason, Reason


class TurnSource(StrEnum):
    """How the user gave a turn."""

    SPEECH = "speech"
    TEXT = "text"


class DigitSource(StrEnum):
    """How a digit that the caller dialled was reported."""

    SIGNALLED = "signalled"
    """By a message beside the audio (RFC 4733, or a phone vendor's event)."""
    IN_BAND = "in_band"
    """By the tone in the audio."""


class SessionStarted(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A session exists. What it may do (provider, transport, tools) is frozen here.

    `approvals` names the tools that run only when somebody has approved the call. `owner` is the name of the
    API key it was started with, on a server that has keys.
    """

    kind: ClassVar[str] = "session_started"
    target: str
    provider: str
    transport: str
    model: str | None = None
    voice: str | None = None
    modalities: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    approvals: tuple[str, ...] = ()
    owner: str | None = None


class SessionEnded(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Nothing more happens in this session."""

    kind: ClassVar[str] = "session_ended"
    reason: CloseReason


class RunCompleted(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The run's last record: everything in it ended as it should."""

    kind: ClassVar[str] = "run_completed"


class RunFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The run's last record: something in it did not end as it should."""

    kind: ClassVar[str] = "run_failed"
    reason: Reason


class RunCancelled(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The run's last record: it was ended before it could end by itself."""

    kind: ClassVar[str] = "run_cancelled"


class TurnStarted(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens a turn: the user has finished saying something and the handler is to answer.

    `spoken_until_ns` is when the user fell silent (the end of speech the provider reported, less
    its silence setting where that is known); reply time counts from there.
    """

    kind: ClassVar[str] = "turn_started"
    op_id: str
    source: TurnSource
    understood: bool
    text_ref: str | None = None
    spoken_until_ns: int | None = None


class TurnCompleted(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The handler has answered and asks for the next turn, or the session ended in between."""

    kind: ClassVar[str] = "turn_completed"
    op_id: str


class TurnFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "turn_failed"
    op_id: str
    reason: Reason


class CallerDigitReceived(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The caller dialled a digit. It may be one of a PIN, so it is content."""

    kind: ClassVar[str] = "caller_digit_received"
    digit_ref: str
    source: DigitSource


class UtteranceRequested(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens an utterance: the handler wants something said."""

    kind: ClassVar[str] = "utterance_requested"
    op_id: str
    text_ref: str
    verbatim: bool = True


class UtteranceStarted(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The caller begins to hear it."""

    kind: ClassVar[str] = "utterance_started"
    utterance_id: str
    response_id: str


class UtterancePlayed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The caller heard it to its end; `heard_ref` is what was said, in `response_id` or in it at last."""

    kind: ClassVar[str] = "utterance_played"
    op_id: str
    heard_ref: str | None = None
    response_id: str | None = None


class UtteranceInterrupted(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The caller heard only `heard_ms` of it; `heard_ref` is that part of the text."""

    kind: ClassVar[str] = "utterance_interrupted"
    op_id: str
    heard_ref: str | None = None
    heard_ms: int | None = None
    response_id: str | None = None


class UtteranceResumed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The connection was lost while it was said. What the caller had not heard is said on the next one.

    `heard_ref` is what was heard of it until then, `heard_ms` how long that took; 0 is nothing. `response_id`
    is the response that broke off.
    """

    kind: ClassVar[str] = "utterance_resumed"
    utterance_id: str
    heard_ms: int
    heard_ref: str | None = None
    response_id: str | None = None


class UtteranceFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "utterance_failed"
    op_id: str
    reason: Reason


class UtteranceSkipped(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """It was never begun: the user spoke first, or the session ended."""

    kind: ClassVar[str] = "utterance_skipped"
    op_id: str
    reason: Reason


class ResponseHeard(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """An answer that the model gave by itself is over; `heard_ref` is what the caller heard of it.

    `lost`: it broke off with the connection, so that the caller waits for the rest of it. `turn_id`: the
    latest turn that had ended when it began; its record may still follow. Later ones it does not answer.
    """

    kind: ClassVar[str] = "response_heard"
    response_id: str
    heard_ms: int
    heard_ref: str | None = None
    lost: bool = False
    turn_id: str | None = None


class ToolCallReceived(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The provider's model asks for a tool; `call_ref` is a JSON object of its `name` and its `arguments`."""

    kind: ClassVar[str] = "tool_call_received"
    call_id: str
    call_ref: str
    response_id: str | None = None


class ToolCallAnswered(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """`output_ref` is what the model is told of the call, also where nothing ran; written before it is."""

    kind: ClassVar[str] = "tool_call_answered"
    call_id: str
    output_ref: str


class ToolIntentRecorded(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens a tool call that the provider's model made by itself. `target` is on the allowlist.

    `approval_op_id` names the approval that allows it, where it needs one.
    """

    kind: ClassVar[str] = "tool_intent_recorded"
    op_id: str
    target: str
    approval_op_id: str | None = None


class ToolResultRecorded(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The call has ended and the model is told what came of it; `reason` is set when it did not succeed."""

    kind: ClassVar[str] = "tool_result_recorded"
    op_id: str
    reason: Reason | None = None


class PolicyDenied(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Something was asked for that this session may not do; what it was is content."""

    kind: ClassVar[str] = "realtime_policy_denied"
    subject_ref: str


class ImageReceived(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The user showed something; what became of it tells the send of the same `frame_id`, which follows."""

    kind: ClassVar[str] = "image_received"
    frame_id: str
    image_ref: str
    media_type: str
    detail: str | None = None


class UsageRecorded(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What the provider says that a response cost, or putting the user's words into text (no `response_id`).

    Counts are tokens (`frames.Usage`). A provider need not say it, so their sum is a lower bound of a bill.
    """

    kind: ClassVar[str] = "usage_recorded"
    response_id: str | None = None
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
