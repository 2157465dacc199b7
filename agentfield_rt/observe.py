"""The port of whoever watches what runs write: metrics, traces, logs. Nothing here decides anything."""

from collections.abc import Callable
from dataclasses import dataclass

from agentfield_rt.core.records import Record

__all__ = ["Observation", "Observer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A record that a run has taken, and whom it is about. It may not be durable yet."""

    run_id: str
    record: Record
    at_ns: int
    agent_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None


Observer = Callable[[Observation], None]
"""Told of every record, in its run's order, on the event loop. It must not raise, nor append."""
