"""The port of whoever watches what runs write: metrics, traces, logs. Nothing here decides anything."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import msgspec

from agentfield_rt.core.records import Record

__all__ = ["Observation", "Observer", "Within"]


class Observation(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A record that a run has taken, and whom it is about. It may not be durable yet."""

    run_id: str
    record: Record
    at_ns: int
    agent_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None


Observer = Callable[[Observation], None]
"""Told of every record, in its run's order, on the event loop. It must not raise, nor append."""

Within = Callable[[str], AbstractContextManager[object]]
"""Goes round the work of an execution, named by its id, so that what the work does is seen as part of it."""
