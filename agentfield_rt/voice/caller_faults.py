"""Messages of a caller's media stream that were skipped: each recorded, and too many of them end the call."""

import asyncio
from collections.abc import Callable

from agentfield_rt.core import records
from agentfield_rt.core.records import CallerFault, Record

FAULTS_MAX = 10
FAULTS_WITHIN_S = 60.0


class CallerFaults:
    """The faults of one caller's stream.

    Args:
        record: Writes a record of the session.
    """

    __slots__ = ("_at", "_has_told_of_unknown", "_record")

    def __init__(self, record: Callable[[Record], None]) -> None:
        self._record = record
        self._at: tuple[float, ...] = ()
        self._has_told_of_unknown = False

    def note(self, fault: CallerFault) -> bool:
        """Take notice of one; returns whether it is the last that is put up with.

        A vendor may invent new events, and that is no fault of the call: the first is recorded, no more.

        Raises:
            JournalError: it cannot be recorded.
        """
        if fault is CallerFault.UNKNOWN_EVENT:
            if not self._has_told_of_unknown:
                self._has_told_of_unknown = True
                self._record(records.CallerMessageRefused(fault=fault))
            return False
        now = asyncio.get_running_loop().time()
        self._at = (*(at for at in self._at if now - at <= FAULTS_WITHIN_S), now)
        self._record(records.CallerMessageRefused(fault=fault))
        return len(self._at) >= FAULTS_MAX
