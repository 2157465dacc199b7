"""Messages of the plane to an agent."""

import msgspec

from agentfield_rt.channel.message import MESSAGE_BYTES_MAX, VERSION, Message
from agentfield_rt.channel.shapes import Failure, GivenTurn, Json, Place
from agentfield_rt.errors import Reason
from agentfield_rt.frames import RateLimit, Usage
from agentfield_rt.voice.link import UtteranceState


class Welcome(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The plane's first message on a wire, in answer to `hello`; it has no seq.

    Attributes:
        channel_id: To be said in the next `hello`, so that the channel goes on.
        resumed: The plane remembers this channel: all that was not received is sent again, both ways.
            Otherwise nothing of before is known: handlers are to be stopped, and outcomes that were not
            `outcome_recorded` reported anew.
        received: The last seq of the agent's that the plane has; the agent goes on behind it.
        keep_alive_s: An end that has sent nothing for so long sends an empty frame.
        lease_s: An agent that was not heard for so long has lost its sessions and executions.
        unreceived_max: So many messages may wait to be received; an end with more has lost the other.
    """

    version: int = VERSION
    channel_id: str
    resumed: bool
    received: int
    keep_alive_s: float
    lease_s: float
    message_bytes_max: int = MESSAGE_BYTES_MAX
    unreceived_max: int


class Refused(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """In place of `welcome`; the wire is closed then. `retryable`: the same may succeed later."""

    error: str
    retryable: bool = False


class Execute(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Run a reasoner or skill, once for each `execution_id`; an `outcome` is owed."""

    execution_id: str
    name: str
    kind: str
    arguments: dict[str, Json]
    place: Place


class CancelExecution(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Stop it; an `outcome` is owed all the same."""

    execution_id: str


class OutcomeRecorded(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The outcome is durable, or was superseded: the agent may forget the execution."""

    execution_id: str


class Reply(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What came of a request that has a `request_id`, exactly once: also of one that was cancelled."""

    request_id: str
    result: Json = None
    failure: Failure | None = None


class CallAccepted(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A `call` is durable as this execution; its `reply` follows. Should the plane restart, `follow` it."""

    request_id: str
    execution_id: str


class BeginHandler(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Run the function of a session. All that it does carries the `handler_id`; `handler_ended` is owed,
    unless it is cancelled.

    `state` is what an earlier run of it kept, in this process or another.
    """

    handler_id: str
    session_name: str
    session_id: str
    run_id: str
    metadata: dict[str, Json] = msgspec.field(default_factory=dict[str, Json])
    state: dict[str, Json] = msgspec.field(default_factory=dict[str, Json])


class CancelHandler(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Stop it: the caller has left, or it took too long. Nothing that it still says is heard."""

    handler_id: str


class TurnGiven(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The answer to `input`; no turn: the session is over.

    It is answered when the handler says something or asks for the next; until then it may be given again,
    to another run of the handler.
    """

    handler_id: str
    request_id: str
    turn: GivenTurn | None = None


class UtteranceChanged(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Where something that the handler said is; played, interrupted, failed and skipped are final."""

    handler_id: str
    utterance_id: str
    state: UtteranceState
    heard: str = ""
    reason: Reason | None = None


class MeterRead(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What the session has cost so far; comes when the handler begins, and whenever it changed."""

    handler_id: str
    usage: Usage
    rate_limits: tuple[RateLimit, ...] = ()


class CarryParcel(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Hand this to the sink that a `deliver` named; `parcel_carried` is owed. `body` is base64."""

    handler_id: str
    request_id: str
    sink: str
    op_id: str
    dedupe_key: str
    run_id: str
    destination_kind: str
    destination_id: str
    content_type: str
    body: bytes


ToAgent = (
    Welcome
    | Refused
    | Execute
    | CancelExecution
    | OutcomeRecorded
    | Reply
    | CallAccepted
    | BeginHandler
    | CancelHandler
    | TurnGiven
    | UtteranceChanged
    | MeterRead
    | CarryParcel
)
