"""Executions: a reasoner or skill at work within a run."""

from typing import ClassVar

from agentfield_rt.core.records.record import Record
from agentfield_rt.errors import Reason


class ExecutionQueued(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Opens an execution. Durable before anybody is told that it was accepted."""

    kind: ClassVar[str] = "execution_queued"
    op_id: str
    target: str
    input_ref: str
    parent_execution_id: str | None = None


class ExecutionSucceeded(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "execution_succeeded"
    op_id: str
    result_ref: str


class ExecutionFailed(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """`error_ref` is what the reasoner said about it."""

    kind: ClassVar[str] = "execution_failed"
    op_id: str
    reason: Reason
    error_ref: str | None = None


class ExecutionCancelled(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    kind: ClassVar[str] = "execution_cancelled"
    op_id: str
