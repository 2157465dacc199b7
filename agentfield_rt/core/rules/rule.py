"""A stream rule as it is declared: what it looks for, where, and what it does about it."""

from dataclasses import dataclass, field

from agentfield_rt.core.records.rules import ActionKind, Channel, MatcherKind, Repeat, Scope


@dataclass(frozen=True, slots=True)
class Literal:
    """Exactly this text. Without case, characters are compared one by one: `ß` is `ẞ` but never `ss`."""

    text: str = field(repr=False)
    ignore_case: bool = False

    kind = MatcherKind.LITERAL


@dataclass(frozen=True, slots=True)
class Regex:
    """A pattern in RE2's syntax (https://github.com/google/re2/wiki/Syntax), matched in linear time.

    The leftmost match counts, and of those that begin there the longest; so there is no lazy repetition.
    Needs `agentfield-rt[rules]`.
    """

    pattern: str = field(repr=False)

    kind = MatcherKind.REGEX


@dataclass(frozen=True, slots=True)
class Marker:
    """Not text: something that was said about the stream at this place, by name.

    In a voice session these are the provider's events that the runtime gives no meaning to (`Notice`).
    """

    name: str
    version: int = 1

    kind = MatcherKind.MARKER


Matcher = Literal | Regex | Marker


@dataclass(frozen=True, slots=True)
class Mask:
    """Put `replacement` where the match was. Its first and last character may occur in no match."""

    replacement: str = "[redacted]"

    kind = ActionKind.MASK


@dataclass(frozen=True, slots=True)
class Drop:
    """Pass on nothing more of the message, from the match on."""

    kind = ActionKind.DROP


@dataclass(frozen=True, slots=True)
class Abort:
    """Pass on nothing more of the message, and stop what the agent is saying."""

    kind = ActionKind.ABORT


@dataclass(frozen=True, slots=True)
class AbortAndRetry:
    """Stop the answer and ask for another one, at most `attempts_max` times for one utterance.

    `instructions` are added to what was asked for. Speech that was given word for word is not asked again.
    """

    instructions: str = field(default="", repr=False)
    attempts_max: int = 1

    kind = ActionKind.ABORT_AND_RETRY


@dataclass(frozen=True, slots=True)
class PauseForApproval:
    """Hold the message from the match on until somebody decides: it goes on, or ends there."""

    expires_after_s: float = 60.0

    kind = ActionKind.PAUSE_FOR_APPROVAL


@dataclass(frozen=True, slots=True)
class Inject:
    """Add a text to the conversation, which the provider's model reads before its next answer."""

    text: str = field(repr=False)

    kind = ActionKind.INJECT


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell whoever watches the session live. `notice` is a word of the application's, never content."""

    notice: str

    kind = ActionKind.EMIT


Action = Mask | Drop | Abort | AbortAndRetry | PauseForApproval | Inject | Emit

GUARDS = frozenset(
    {
        ActionKind.MASK,
        ActionKind.DROP,
        ActionKind.ABORT,
        ActionKind.ABORT_AND_RETRY,
        ActionKind.PAUSE_FOR_APPROVAL,
    }
)
"""Actions for which text is held back while it may still become a match."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is watched for in text as it streams.

    Attributes:
        id: Stands in the journal: 1-64 letters, digits, dots, dashes and underscores, and no secret.
        channels: Where to look.
        scope: Only messages that belong to a run (all do), a session, a turn, an attempt (one response).
        repeat: When to intervene again. The default: once for each place in each message, also when that
            message is gone through a second time.
        window_chars: No match is longer. Of what a pattern would match beyond it, the longest part that fits.
    """

    id: str
    version: int = 1
    matcher: Matcher
    action: Action
    channels: tuple[Channel, ...] = (Channel.ASSISTANT_TEXT,)
    scope: Scope = Scope.RUN
    repeat: Repeat = Repeat.ONCE_PER_ATTEMPT_AND_SPAN
    window_chars: int = 256

    @property
    def is_guard(self) -> bool:
        return self.action.kind in GUARDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Whose text a stream is. Nothing is matched across two of them."""

    run_id: str
    message_id: str
    session_id: str | None = None
    turn_id: str | None = None
    attempt_id: str | None = None

    def belongs_to(self, scope: Scope) -> bool:
        """Whether it is part of a run, a session, a turn, an attempt."""
        match scope:
            case Scope.RUN:
                return True
            case Scope.REALTIME_SESSION:
                return self.session_id is not None
            case Scope.TURN:
                return self.turn_id is not None
            case Scope.ATTEMPT:
                return self.attempt_id is not None
