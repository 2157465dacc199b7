"""Where the running code stands in the workflow, and whether somebody still wants what it does."""

import threading
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """Where the running code stands in the workflow; nested calls inherit it.

    Attributes:
        stopped: Set when nobody wants its result any more; code in a thread, which nobody can stop, asks it.
    """

    run_id: str
    execution_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    actor_id: str | None = None
    stopped: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)


CURRENT: ContextVar[ExecutionContext | None] = ContextVar("agentfield_execution", default=None)
