"""When faults strike: a budget that all connections of a setup share, and counts of each alone. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence

from agentfield_adapters.local.faults.fault import Fault, Knob, Where

_ALWAYS = 0


class FaultPlan:
    """The faults of one setup.

    Args:
        faults: In order; of those that could strike one event, the first that may does.
        seed: Of chance.
    """

    def __init__(self, faults: Sequence[Fault] = (), *, seed: int = 0) -> None:
        self.faults = tuple(faults)
        self._struck = [0] * len(self.faults)
        self._random = random.Random(f"{seed}/faults")

    @property
    def struck(self) -> Sequence[int]:
        """How often each fault has struck."""
        return tuple(self._struck)

    def at_connect(self, where: Where) -> Fault | None:
        """Return the fault that strikes this request, if one does, and count it."""
        for index, fault in enumerate(self.faults):
            if fault.strikes_at_connect and fault.where in (None, where) and self.draw(index):
                return fault
        return None

    def draw(self, index: int) -> bool:
        """Return whether a fault that could strike now does, and count it."""
        fault = self.faults[index]
        if fault.times != _ALWAYS and self._struck[index] >= fault.times:
            return False
        if fault.chance < 1.0 and self._random.random() >= fault.chance:
            return False
        self._struck[index] += 1
        return True


class Strikes:
    """The faults of a plan on one connection: counts its events and says which are struck."""

    def __init__(self, plan: FaultPlan, where: Where) -> None:
        self._plan = plan
        self._open = [
            (index, fault)
            for index, fault in enumerate(plan.faults)
            if not fault.strikes_at_connect and fault.where in (None, where)
        ]
        self._counts = dict.fromkeys((index for index, _ in self._open), 0)
        self._seen: set[str] = set()

    def outgoing(self, event_type: str) -> Fault | None:
        """Count one event of the provider: the fault that strikes it."""
        struck: Fault | None = None
        for index, fault in self._open:
            if fault.knob is Knob.SWALLOW or (fault.after is not None and fault.after not in self._seen):
                continue
            if fault.counts(event_type) and self._due(index, fault) and struck is None:
                struck = fault if self._plan.draw(index) else None
        return struck

    def incoming(self, event_type: str) -> Fault | None:
        """Count one event of the client: the fault that swallows it."""
        self._seen.add(event_type)
        for index, fault in self._open:
            is_meant = fault.knob is Knob.SWALLOW and fault.type == event_type
            if is_meant and self._due(index, fault) and self._plan.draw(index):
                return fault
        return None

    def _due(self, index: int, fault: Fault) -> bool:
        """With `at`, the event of that number; without, every event until the budget is spent."""
        self._counts[index] += 1
        return fault.at is None or self._counts[index] == fault.at
