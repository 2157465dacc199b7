"""The last lines that agents logged of their executions: in memory, bounded, gone with the process."""

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

EXECUTIONS_MAX = 1_000
ENTRIES_MAX = 500
"""Kept of one execution: the last."""

ENTRY_BYTES_MAX = 16 * 1024
BYTES_MAX = 32 * 1024 * 1024
"""Of all that is kept."""


@dataclass(slots=True)
class Log:
    """What is kept of one execution; the first `dropped` entries are not."""

    entries: deque[bytes] = field(default_factory=deque[bytes])
    dropped: int = 0
    size_bytes: int = 0


class ExecutionLogs:
    """Keeps entries as the JSON they came in. Those nobody added to for longest go first."""

    def __init__(self, *, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._logs: OrderedDict[str, Log] = OrderedDict()
        self._size_bytes = 0

    def add(self, execution_id: str, entries: Iterable[bytes]) -> int:
        """Keep `entries`, but those that are too large; returns how many were kept."""
        log = self._logs.setdefault(execution_id, Log())
        self._logs.move_to_end(execution_id)
        kept = 0
        for entry in entries:
            if len(entry) > ENTRY_BYTES_MAX:
                log.dropped += 1
                continue
            kept += 1
            log.entries.append(entry)
            self._grow(log, len(entry))
            if len(log.entries) > ENTRIES_MAX:
                self._drop_first(log)
        while len(self._logs) > EXECUTIONS_MAX or (
            self._size_bytes > self._bytes_max and len(self._logs) > 1
        ):
            _, oldest = self._logs.popitem(last=False)
            self._size_bytes -= oldest.size_bytes
        return kept

    def of(self, execution_id: str) -> Log:
        """What is kept of an execution; an empty log when that is nothing."""
        return self._logs.get(execution_id) or Log()

    def _grow(self, log: Log, size_bytes: int) -> None:
        log.size_bytes += size_bytes
        self._size_bytes += size_bytes

    def _drop_first(self, log: Log) -> None:
        self._grow(log, -len(log.entries.popleft()))
        log.dropped += 1
