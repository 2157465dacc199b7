"""One fault: what breaks, at which event, how often. Values and their checks; breaks nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

OVERSIZED_BYTES = 20 * 1024 * 1024
DELAY_MS_MAX = 600_000
AUDIO = frozenset({"response.output_audio.delta", "audio"})
CALLS = frozenset({"response.output_item.done", "tool_calls"})
"""As events, and as pieces of a streamed completion."""


class FaultRefused(Exception):
    """A fault that cannot be: the text says what is wrong with it and what would work."""


class Where(StrEnum):
    """What a fault may be limited to."""

    SESSION = "session"
    SIDEBAND = "sideband"
    CALLS = "calls"
    ACCEPT = "accept"
    REJECT = "reject"
    REFER = "refer"
    HANGUP = "hangup"
    CHAT = "chat"
    TRANSCRIPTIONS = "transcriptions"
    MODELS = "models"


class Knob(StrEnum):
    """What breaks."""

    REFUSE = "refuse"
    STATUS = "status"
    HANG = "hang"
    HALF_OPEN = "half_open"
    DROP = "drop"
    CLOSE = "close"
    EXPIRE = "expire"
    SKIP = "skip"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    DELAY = "delay"
    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    UNKNOWN_EVENT = "unknown_event"
    ERROR = "error"
    TRUNCATED_AUDIO = "truncated_audio"
    WRONG_CALL_ID = "wrong_call_id"
    SWALLOW = "swallow"


@dataclass(frozen=True, slots=True)
class About:
    """A knob's description.

    Attributes:
        text: What happens.
        option: The option that `knob=value` sets, or "" when it has none.
        default: Of that option.
        options: Further options it reads.
        at_connect: It strikes before a connection is accepted (`None`: there if no event is named).
        types: Of the events it strikes unless another is named; none is all.
    """

    text: str
    option: str = ""
    default: int | float | str | None = None
    options: frozenset[str] = frozenset()
    at_connect: bool | None = False
    types: frozenset[str] = frozenset()


KNOBS: dict[Knob, About] = {
    Knob.REFUSE: About("the connection is reset before any answer", at_connect=True),
    Knob.STATUS: About(
        "an HTTP status instead of an answer, `retry_after_s` with it",
        option="status",
        default=503,
        options=frozenset({"retry_after_s"}),
        at_connect=True,
    ),
    Knob.HANG: About(
        "silence: no answer to the request, or no further event while pings are answered", at_connect=None
    ),
    Knob.HALF_OPEN: About("the socket stays open, and nobody reads, writes or answers pings any more"),
    Knob.DROP: About("the connection is reset without a close frame, in place of the event"),
    Knob.CLOSE: About(
        "a close frame in place of the event", option="code", default=1000, options=frozenset({"reason"})
    ),
    Knob.EXPIRE: About("`session_expired`, then close 1001, as after 60 minutes"),
    Knob.SKIP: About("the event is lost"),
    Knob.DUPLICATE: About("the event comes twice, with one id"),
    Knob.REORDER: About("the event comes after the one that follows it"),
    Knob.DELAY: About("the event, and all after it, come later", option="delay_ms", default=200),
    Knob.MALFORMED: About(
        "the event cannot be read: `cut` JSON, invalid `utf8`, wrong `types`, a `binary` frame",
        option="how",
        default="cut",
    ),
    Knob.OVERSIZED: About("the event grows to so many bytes", option="size_bytes", default=OVERSIZED_BYTES),
    Knob.UNKNOWN_EVENT: About("an event of no known type comes first"),
    Knob.ERROR: About("an `error` with this code comes first", option="code", default="server_error"),
    Knob.TRUNCATED_AUDIO: About(
        "audio with an `odd` number of bytes, without its `tail`, or not `base64`",
        option="how",
        default="odd",
        types=AUDIO,
    ),
    Knob.WRONG_CALL_ID: About("a function call under an id that nobody was given", types=CALLS),
    Knob.SWALLOW: About(
        "an event of the client is ignored: neither done nor answered", option="type", default=None
    ),
}
_HOWS = {Knob.MALFORMED: ("cut", "utf8", "types", "binary"), Knob.TRUNCATED_AUDIO: ("odd", "tail", "base64")}
_OPTIONS = ("status", "retry_after_s", "code", "reason", "delay_ms", "how", "size_bytes")
_HAS_NO_EVENT = (Knob.REFUSE, Knob.STATUS)


class Fault(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What breaks, and when.

    Attributes:
        at: The how-manyth event, from 1: of a connection, of `type`, since `after`. None is the first.
        type: Only events of this type count, or such pieces of a streamed completion: `role`, `content`,
            `transcript`, `audio`, `tool_calls`, `finish`, `usage`, `done`. For `swallow`, the client's event.
        after: The provider's events count from the client's first event of this type on.
        where: Only there.
        times: How often it strikes in all; 0 is every time.
        chance: That it strikes when it could, drawn from the seed.
    """

    knob: Knob
    at: Annotated[int, Meta(ge=1)] | None = None
    type: str | None = None
    after: str | None = None
    where: Where | None = None
    times: Annotated[int, Meta(ge=0)] = 1
    chance: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    status: Annotated[int, Meta(ge=400, le=599)] | None = None
    retry_after_s: Annotated[int, Meta(ge=0)] | None = None
    code: int | str | None = None
    reason: Annotated[str, Meta(max_length=120)] | None = None
    delay_ms: Annotated[int, Meta(ge=0, le=DELAY_MS_MAX)] | None = None
    how: str | None = None
    size_bytes: Annotated[int, Meta(ge=1, le=4 * OVERSIZED_BYTES)] | None = None

    def __post_init__(self) -> None:
        """Check what the types cannot say: that the options are this knob's.

        Raises:
            ValueError: They are not.
        """
        about = KNOBS[self.knob]
        read = about.options | {about.option}
        for name in _OPTIONS:
            if getattr(self, name) is not None and name not in read:
                raise ValueError(f"`{self.knob}` has no option `{name}`")
        if self.knob in _HAS_NO_EVENT and (self.at or self.type or self.after):
            raise ValueError(f"`{self.knob}` strikes before there are events: leave `at` and `type` out")
        if self.knob in _HOWS and self.how not in (None, *_HOWS[self.knob]):
            raise ValueError(f"`how` of `{self.knob}` is one of {', '.join(_HOWS[self.knob])}")
        if self.knob is Knob.SWALLOW and self.type is None:
            raise ValueError("`swallow` needs the `type` of the client's event")
        if self.code is not None and isinstance(self.code, int) is (self.knob is Knob.ERROR):
            raise ValueError("`code` is a number for `close` and a name for `error`")
        if (isinstance(self.code, int) and not (1000 <= self.code <= 4999)) or self.code in (
            1004,
            1005,
            1006,
        ):
            raise ValueError(
                "`code` is a close code that may be sent, such as 1000, 1001, 1011, 1013 or 3000"
            )

    @property
    def strikes_at_connect(self) -> bool:
        """Whether it strikes before a connection is accepted."""
        at_connect = KNOBS[self.knob].at_connect
        if at_connect is None:
            return self.at is None and self.type is None and self.after is None
        return at_connect

    def counts(self, event_type: str) -> bool:
        """Whether events of this type count."""
        if self.type is not None:
            return event_type == self.type
        types = KNOBS[self.knob].types
        return not types or event_type in types

    def option(self) -> int | float | str | None:
        """The value of the knob's own option."""
        about = KNOBS[self.knob]
        given: int | float | str | None = getattr(self, about.option) if about.option else None
        return about.default if given is None else given
