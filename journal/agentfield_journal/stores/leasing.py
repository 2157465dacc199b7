"""Leases of runs in a store that several processes share: who may write a run, and until when.

The store's own clock decides when a lease is over for others; its holder counts from before it asked, on a
clock that only goes forward, and stops earlier. Leases keep order between the living; that a run never has
two writers is for the epoch to guarantee, which the store checks whatever a lease says.
"""

import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import msgspec

from agentfield_journal.stores.port import Store

_PROCESS = secrets.token_hex(4)


def process_name() -> str:
    """This process, as a holder of leases: host, process id, and a word that no later process has."""
    return f"{socket.gethostname()}:{os.getpid()}:{_PROCESS}"


class LeaseTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds leases, and how long one lasts when it is not renewed.

    `holder` (default: this process) may open its runs again at any time; a process that is to get its runs
    back at once after a crash needs a name of its own that outlives it. `lease_s` is 1 second to 1 hour. It
    is renewed when a third of it is over; when it cannot be, its last quarter is not used.
    """

    holder: str = msgspec.field(default_factory=process_name)
    lease_s: float = 15.0

    def __post_init__(self) -> None:
        if not 1 <= self.lease_s <= 3_600:
            raise ValueError("a lease lasts from 1 s to 3,600 s")
        if not 1 <= len(self.holder) <= 200:
            raise ValueError("a holder's name has 1 to 200 characters")

    @property
    def renew_every_s(self) -> float:
        return self.lease_s / 3

    @property
    def usable_s(self) -> float:
        """How long the holder relies on a lease, counted from before it asked."""
        return self.lease_s * 3 / 4


def steady_s() -> float:
    """Seconds on a clock that nobody sets; on Linux one that runs on while the machine is suspended."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class HeldLeases:
    """The leases this process holds: written where the store is called, read on the event loop."""

    def __init__(self, terms: LeaseTerms, *, clock_s: Callable[[], float] = steady_s) -> None:
        self.terms = terms
        self.clock_s = clock_s
        self._held: dict[str, tuple[int, float]] = {}

    def hold(self, run_id: str, epoch: int, *, asked_s: float) -> None:
        """The store has granted or renewed a lease that was asked for at `asked_s` or later."""
        self._held[run_id] = (epoch, asked_s + self.terms.usable_s)

    def drop(self, run_id: str, epoch: int) -> bool:
        """Forget a lease, unless a later epoch holds it. Returns whether it was held."""
        held = self._held.get(run_id)
        if held is None or held[0] != epoch:
            return False
        del self._held[run_id]
        return True

    def usable(self, run_id: str, epoch: int) -> bool:
        """Whether the writer with that epoch may still append.

        Also when this process has claimed the run again: that is for the store to refuse.
        """
        held = self._held.get(run_id)
        return held is not None and (held[0] > epoch or self.clock_s() < held[1])

    def all(self) -> dict[str, int]:
        """The runs held, and their epochs."""
        return {run_id: epoch for run_id, (epoch, _) in self._held.copy().items()}


@runtime_checkable
class LeasingStore(Store, Protocol):
    """A store whose `claim` takes a lease of the run, or raises `RunLeased` and changes nothing.

    `renew` and `release` come from the thread of `claim` and `commit`. `close` releases what is still held.
    """

    @property
    def leases(self) -> HeldLeases: ...

    def renew(self) -> None:
        """Renew every lease held; those that the store no longer grants are dropped.

        Raises:
            JournalUnavailable: the server did not answer; whether a lease was renewed is unknown.
        """
        ...

    def release(self, runs: Mapping[str, int]) -> None:
        """End the leases of `runs` now, each if that epoch still holds it."""
        ...
