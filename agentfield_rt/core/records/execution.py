"""Executions: a reasoner or skill at work within a run."""

from typing import ClassVar

from agentfield_rt.core.records.record import Record
from agentfield_rt.errors import Reason


class ExecutionQueued(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens an execution. Durable before anybody is told that it was accepted.

    Attributes:
        depth: How many executions wait for this one.
        remote: Its node is another process: the work outlives the one that writes this.
        time_max_ms: How long after this record it is given up; 0: never.
        webhook_ref: Whom to tell of the outcome, and how it is signed: content, as it holds a secret.
        restart_of: The execution of which this is another try.
    """

    kind: ClassVar[str] = "execution_queued"
    op_id: str
    target: str
    input_ref: str
    parent_execution_id: str | None = None
    capability: str = "reasoner"
    actor_id: str | None = None
    depth: int = 0
    remote: bool = False
    time_max_ms: int = 0
    context_ref: str | None = None
    run_metadata_ref: str | None = None
    webhook_ref: str | None = None
    restart_of: str | None = None


class ExecutionDispatchRequested(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Durable before the node hears of it. Attempts of an execution count 1, 2, 3 …"""

    kind: ClassVar[str] = "execution_dispatch_requested"
    execution_id: str
    attempt: int


class ExecutionStarted(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The node took it and will report what came of it."""

    kind: ClassVar[str] = "execution_started"
    execution_id: str
    attempt: int


class ExecutionNotDispatched(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The node certainly did not get it with this attempt; there will be another."""

    kind: ClassVar[str] = "execution_not_dispatched"
    execution_id: str
    attempt: int
    reason: Reason


class ExecutionSucceeded(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "execution_succeeded"
    op_id: str
    result_ref: str


class ExecutionFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """With the reason `timeout`, its time was over.

    Attributes:
        error_ref: What the reasoner said about it.
        error_details_ref: The same for programs, as JSON.
    """

    kind: ClassVar[str] = "execution_failed"
    op_id: str
    reason: Reason
    error_ref: str | None = None
    error_details_ref: str | None = None


class ExecutionCancelled(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "execution_cancelled"
    op_id: str
