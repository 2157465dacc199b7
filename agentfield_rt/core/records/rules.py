"""Stream rules: what is watched for in text as it streams, what was found, what was done about it.

A matched text never stands here: a keyed hash of it, its place and its length do. The words of a rule may
be secret too, so they are content.
"""

from enum import StrEnum
from typing import ClassVar

from agentfield_rt.core.records.record import Record
from agentfield_rt.errors import Reason


class Channel(StrEnum):
    """Text that rules can watch."""

    ASSISTANT_TEXT = "assistant_text"
    REALTIME_TRANSCRIPT = "realtime_transcript"
    TOOL_CALL_ARGUMENTS = "tool_call_arguments"
    TOOL_RESULT_TEXT = "tool_result_text"


class MatcherKind(StrEnum):
    """How a rule recognises what it looks for."""

    LITERAL = "literal"
    MARKER = "marker"
    REGEX = "regex"


class ActionKind(StrEnum):
    """What a rule does about a match."""

    MASK = "mask"
    DROP = "drop"
    ABORT = "abort"
    ABORT_AND_RETRY = "abort_and_retry"
    PAUSE_FOR_APPROVAL = "pause_for_approval"
    INJECT = "inject"
    EMIT = "emit"


class Repeat(StrEnum):
    """When a rule that has intervened intervenes again."""

    ALWAYS = "always"
    ONCE_PER_RUN = "once_per_run"
    ONCE_PER_TURN = "once_per_turn"
    ONCE_PER_ATTEMPT_AND_SPAN = "once_per_attempt_and_span"


class Scope(StrEnum):
    """Where a message must belong for a rule to watch it."""

    RUN = "run"
    REALTIME_SESSION = "realtime_session"
    TURN = "turn"
    ATTEMPT = "attempt"


class Refusal(StrEnum):
    """Why a rule is not taken."""

    ACTION_NEEDS_ASSISTANT_TEXT = "action_needs_assistant_text"
    BAD_ID = "bad_id"
    BAD_PATTERN = "bad_pattern"
    BAD_VALUE = "bad_value"
    DUPLICATE_ID = "duplicate_id"
    ENGINE_MISSING = "engine_missing"
    LAZY_REPETITION = "lazy_repetition"
    LOOKAROUND = "lookaround"
    BACKREFERENCE = "backreference"
    MATCHES_EMPTY = "matches_empty"
    MUST_REPEAT = "must_repeat"
    NEEDS_TEXT = "needs_text"
    PATTERN_TOO_LARGE = "pattern_too_large"
    REPLACEMENT_CAN_MATCH = "replacement_can_match"
    TOO_MANY_RULES = "too_many_rules"
    UNSUPPORTED_SYNTAX = "unsupported_syntax"
    WINDOW_TOO_SMALL = "window_too_small"


class StreamRuleRegistered(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A rule watches from here on. `digest` is the keyed hash of all of it, `definition_ref` its content.

    `key_ref` is the session's key for hashes, in the content store: who erases it makes all hashes mute.
    """

    kind: ClassVar[str] = "stream_rule_registered"
    rule_id: str
    version: int
    matcher: MatcherKind
    channels: tuple[Channel, ...]
    scope: Scope
    action: ActionKind
    repeat: Repeat
    window_chars: int
    digest: str
    definition_ref: str
    key_ref: str


class StreamRuleCompileFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A rule was refused; nothing runs that it should have watched."""

    kind: ClassVar[str] = "stream_rule_compile_failed"
    rule_id: str
    version: int
    refusal: Refusal


class StreamRuleMatched(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A rule found something. `start_chars` counts the characters of its message before it.

    `match_id` is unique per occurrence; `digest` is the matched text's HMAC-SHA-256 under the session's
    key, its first 128 bits in hexadecimal.
    """

    kind: ClassVar[str] = "stream_rule_matched"
    match_id: str
    rule_id: str
    version: int
    channel: Channel
    message_id: str
    attempt_id: str | None = None
    start_chars: int
    length_chars: int
    digest: str


class StreamInterventionRequested(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens an intervention: what a rule asks for because of a match."""

    kind: ClassVar[str] = "stream_intervention_requested"
    op_id: str
    match_id: str
    rule_id: str
    version: int
    action: ActionKind


class StreamInterventionApplied(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """It was done. For a pause: `approved` is what was decided."""

    kind: ClassVar[str] = "stream_intervention_applied"
    op_id: str
    approved: bool | None = None


class StreamInterventionFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """It could not be done, or nobody knows whether it was."""

    kind: ClassVar[str] = "stream_intervention_failed"
    op_id: str
    reason: Reason


class StreamRuleRepeatStateRecorded(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Under `key` a rule does not intervene again; it is in the same batch as the intervention's opener."""

    kind: ClassVar[str] = "stream_rule_repeat_state_recorded"
    rule_id: str
    version: int
    repeat: Repeat
    key: str


class StreamRuleInjectionAppended(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A rule's text became part of the conversation; the frame that carried it is an operation of its own."""

    kind: ClassVar[str] = "stream_rule_injection_appended"
    rule_id: str
    version: int
    intervention_id: str
    frame_id: str
    text_ref: str
