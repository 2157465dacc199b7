"""What a session's handler wants to be remembered."""

from typing import ClassVar

from agentfield_rt.core.records.record import Record


class HandlerStateKept(Record, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The handler's own state of its session, as a whole; the latest counts, also for another process."""

    kind: ClassVar[str] = "handler_state_kept"
    state_ref: str
