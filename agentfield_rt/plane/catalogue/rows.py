"""What the catalogue answers: ids, words, numbers and references, never content. Knows no SQL.

A row belongs to whoever asked for it; changing it changes nothing else.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec


class Row(msgspec.Struct, gc=False, kw_only=True):
    """What all rows share."""


RowT = TypeVar("RowT", bound=Row)


class RunRow(Row, gc=False, kw_only=True):
    """A run.

    Attributes:
        seq: How much of it is in the catalogue; `hash` is that record's.
        status: `open`, then `completed`, `failed` or `cancelled`: what its last record says.
        session_id: The session that is journaled in it, if it is a session's run.
    """

    run_id: str
    seq: int
    hash: bytes
    status: str = "open"
    reason: str | None = None
    session_id: str | None = None
    started_at_ns: int
    changed_at_ns: int
    ended_at_ns: int | None = None


class RunTotals(Row, gc=False, kw_only=True):
    """What was executed in a run, counted; a run without executions has none."""

    run_id: str
    executions_total: int
    succeeded_total: int
    failed_total: int
    actor_id: str | None


class ExecutionRow(Row, gc=False, kw_only=True):
    """A reasoner or skill at work.

    Attributes:
        status: AgentField's word.
        capability: What the target names, `reasoner` or `skill`.
        seq: The record of its run in which it is first told of.
        is_reported: Its agent only told of it: a call within the agent's own process.
        is_remote: Its node is another process.
        attempts: How often it was to be given to its node.
        queued_at_ns: When it became known.
    """

    execution_id: str
    run_id: str
    seq: int
    node_id: str
    name: str
    capability: str = "reasoner"
    status: str
    reason: str | None = None
    parent_execution_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    actor_id: str | None = None
    restart_of: str | None = None
    is_reported: bool = False
    is_remote: bool = False
    depth: int = 0
    attempts: int = 0
    time_max_ms: int = 0
    input_ref: str | None = None
    result_ref: str | None = None
    error_ref: str | None = None
    error_details_ref: str | None = None
    usage_ref: str | None = None
    context_ref: str | None = None
    run_metadata_ref: str | None = None
    webhook_ref: str | None = None
    queued_at_ns: int
    started_at_ns: int | None = None
    ended_at_ns: int | None = None

    @property
    def target(self) -> str:
        return f"{self.node_id}.{self.name}"


class SessionRow(Row, gc=False, kw_only=True):
    """A session, live or not.

    Attributes:
        owner: The name of the API key it was started with, on a server that has keys.
        ended_at_ns: None while it is live.
    """

    session_id: str
    run_id: str
    seq: int
    target: str
    provider: str
    transport: str
    model: str | None
    voice: str | None
    modalities: tuple[str, ...]
    tools: tuple[str, ...]
    tags: tuple[str, ...]
    owner: str | None
    started_at_ns: int
    ended_at_ns: int | None
    close_reason: str | None


class TurnRow(Row, gc=False, kw_only=True):
    """A turn of a session: what was said is elsewhere."""

    turn_id: str
    run_id: str
    seq: int
    session_id: str | None
    status: str
    reason: str | None
    started_at_ns: int
    ended_at_ns: int | None


class NoteRow(Row, gc=False, kw_only=True):
    """Something an agent noted about one of its executions; `note_ref` leads to it."""

    run_id: str
    seq: int
    execution_id: str
    note_ref: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Page(Generic[RowT]):
    """Some rows of `total`."""

    rows: tuple[RowT, ...]
    total: int
