"""Messages of an agent to the plane."""

import msgspec

from agentfield_rt.channel.message import VERSION, Message
from agentfield_rt.channel.shapes import Failure, HandlerFailure, Json, OutcomeStatus, Place
from agentfield_rt.core.records import Decision, DeliveryKind
from agentfield_rt.errors import Reason


class Hello(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """An agent's first message on a wire; it has no seq.

    Attributes:
        registration: The body that AgentField's agents register with.
        instance_id: This process; several of one node share its work.
        channel_id: From the last `welcome`, if there was one.
        received: The last seq of the plane's that the agent has.
        executions_max: So many executions at once; others wait at the plane, or go to another instance.
        running: Executions that run here, or whose outcome is not recorded.
    """

    version: int = VERSION
    registration: dict[str, Json]
    instance_id: str
    channel_id: str | None = None
    received: int = 0
    executions_max: int = 100
    running: tuple[str, ...] = ()


class Leaving(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The agent stops: it gets no new work, and other instances take its sessions when it is gone."""


class Outcome(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """How an execution ended; sent again to every new plane until it is `outcome_recorded`."""

    execution_id: str
    status: OutcomeStatus
    result: Json = None
    error: str | None = None
    reason: Reason | None = None


class Note(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A remark on an execution, for whoever looks at the workflow."""

    message: str
    tags: tuple[str, ...] = ()
    place: Place
    execution_id: str | None = None


class Call(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Run `node.name` somewhere; `call_accepted` and `reply` follow.

    With a `handler_id` it belongs to that session and the turn it is at, whatever `place` says.
    """

    request_id: str
    target: str
    arguments: dict[str, Json] = msgspec.field(default_factory=dict[str, Json])
    place: Place = Place()
    handler_id: str | None = None


class Follow(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Reply to this request when that execution has ended: a `call` that another plane accepted."""

    request_id: str
    execution_id: str


class CancelRequest(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Nobody waits any more: a call's execution is cancelled, and a turn goes back to the line.

    Where the answer is on its way already it stands, except for a turn: that is given again.
    """

    request_id: str
    handler_id: str | None = None


class Input(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Ask for the next turn (`turn_given`). The one before is answered by that."""

    handler_id: str
    request_id: str


class Say(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Speak `text` word for word, or let the model answer following `instructions`.

    The handler chooses the `utterance_id`; `utterance_changed` tells what becomes of it.
    """

    handler_id: str
    utterance_id: str
    text: str | None = None
    instructions: str | None = None


class KeepState(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The session's state as a whole, for whichever run of the handler comes next."""

    handler_id: str
    state: dict[str, Json]


class Interrupt(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Stop what is being said and skip what waits; replied to when it is silent."""

    handler_id: str
    request_id: str


class GatherDigits(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Reply with `{digits, ended_by}` when they are complete; with null when the session is over.

    `returned` were given to a request that was cancelled meanwhile: they come first again.
    """

    handler_id: str
    request_id: str
    max_digits: int = 1
    timeout_s: float | None = None
    end_on: str = ""
    returned: str = ""


class History(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Reply with what was said until now, oldest first: `[{by, id, text}, …]`."""

    handler_id: str
    request_id: str


class Refer(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Hand a phone call on to `tel:…` or `sip:…`."""

    handler_id: str
    request_id: str
    target_uri: str


class Deliver(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Hand `body` (base64) to the outside, at most once; reply with `{status, op_id, reason}`.

    `sink` names what carries it in the agent (`carry_parcel`); null where none is configured.
    """

    handler_id: str
    request_id: str
    source_id: str
    body: bytes
    destination_kind: str
    destination_id: str
    sink: str | None = None
    content_type: str = "application/json"
    version: int = 1
    delivery: DeliveryKind = DeliveryKind.RESULT
    part: int = 0
    required: bool = False
    deadline_s: float


class ParcelCarried(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What the sink answered to a `carry_parcel`."""

    handler_id: str
    request_id: str
    receipt: str | None = None
    failure: Failure | None = None


class Reconcile(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Say what became of a delivery in doubt."""

    handler_id: str
    request_id: str
    op_id: str
    decision: Decision


class CloseSession(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Hang up."""

    handler_id: str
    request_id: str


class HandlerEnded(Message, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The function returned, or raised. It is begun again for the next turn."""

    handler_id: str
    failure: HandlerFailure | None = None


SessionRequest = Input | Interrupt | GatherDigits | History | Refer | Deliver | Reconcile | CloseSession
"""What a handler asks of its session and waits for."""

ToPlane = (
    Hello
    | Leaving
    | Outcome
    | Note
    | Call
    | Follow
    | CancelRequest
    | Say
    | KeepState
    | ParcelCarried
    | HandlerEnded
    | Input
    | Interrupt
    | GatherDigits
    | History
    | Refer
    | Deliver
    | Reconcile
    | CloseSession
)
