"""What a session costs, and how near its account is to the provider's limits, as the provider reports it."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, fields

from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.frames import ProviderEvent, RateLimit, RateLimitsReported, Usage, UsageReported

_COUNTS = tuple(field.name for field in fields(Usage))


class Meter:
    """Writes down every report and adds them up.

    Args:
        record: Writes a record of the session.
        history: Its records so far, where it goes on after a crash.

    Attributes:
        usage: All that was reported; a provider need not report everything.
        rate_limits: The latest report. It is advice, and as old as the latest answer.
    """

    def __init__(self, record: Callable[[Record], None], history: Iterable[Record] = ()) -> None:
        self._record = record
        self.usage = total(record for record in history if isinstance(record, records.UsageRecorded))
        self.rate_limits: tuple[RateLimit, ...] = ()
        self._watcher: Callable[[], None] | None = None

    def watch(self, watcher: Callable[[], None] | None) -> None:
        """Call `watcher` after each report; None: nobody any more. It must not raise."""
        self._watcher = watcher

    def handle(self, event: ProviderEvent) -> None:
        """Take in a provider event.

        Raises:
            JournalError: what it cost could not be written down.
        """
        match event:
            case UsageReported(usage, response_id):
                self._record(records.UsageRecorded(response_id=response_id, **asdict(usage)))
                self.usage = total((self.usage, usage))
            case RateLimitsReported(limits):
                self.rate_limits = limits
            case _:
                return
        if self._watcher is not None:
            self._watcher()


def total(costs: Iterable[Usage | records.UsageRecorded]) -> Usage:
    """What several pieces of work cost together; of a run, its `usage_recorded`."""
    sums = dict.fromkeys(_COUNTS, 0)
    for cost in costs:
        for name in _COUNTS:
            sums[name] += getattr(cost, name)
    return Usage(**sums)
