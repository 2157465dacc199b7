"""Digits the caller dials: each once, in order, whoever reports it. They may be a PIN: content."""

import asyncio
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from agentfield_rt.core import records
from agentfield_rt.core.records import DigitSource, Record
from agentfield_rt.errors import SessionClosed
from agentfield_rt.idle import Signal

DIGITS = f"{string.digits}*#ABCD"
"""What a telephone can dial (ITU-T Q.23)."""

WAITING_MAX = 64
"""Digits nobody asked for yet. Of a caller who dials on, the oldest go; the journal has them all."""

SAME_WITHIN_S = 1.0
"""A key pressed once may be reported as a message and as a tone; the later report comes within this time."""


class GatherEnd(StrEnum):
    """Why no further digits were waited for."""

    END_ON = "end_on"
    MAX_DIGITS = "max_digits"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class GatheredDigits:
    """What the caller dialled.

    Attributes:
        digits: Without the digit that ended them; shown in no repr.
        ended_by: Whether they are complete, or the caller fell silent.
    """

    digits: str = field(repr=False)
    ended_by: GatherEnd


class Digits:
    """The digits of one session, from whoever hears them to whoever asks for them.

    Args:
        record: Writes a record of the session.
        keep: Puts text into the content store and returns its reference.
    """

    __slots__ = ("_has_ended", "_keep", "_record", "_unpaired", "_waiting", "_wake")

    def __init__(self, record: Callable[[Record], None], keep: Callable[[str], str]) -> None:
        self._record = record
        self._keep = keep
        self._waiting = ""
        self._unpaired: list[tuple[str, DigitSource, float]] = []
        self._wake = Signal()
        self._has_ended = False

    def hear(self, digit: str, source: DigitSource = DigitSource.SIGNALLED) -> None:
        """Take a digit that was reported; one that was reported both ways counts once.

        Raises:
            ValueError: it is none of `DIGITS`.
            SessionClosed: the session is over.
            JournalError: it cannot be recorded, so nobody gets it.
        """
        if len(digit) != 1 or digit not in DIGITS:
            raise ValueError("a digit is one of 0-9, *, #, A, B, C and D")
        if self._has_ended:
            raise SessionClosed("the session is over; no digit is heard in it")
        now = asyncio.get_running_loop().time()
        if self._is_second_report(digit, source, now):
            return
        self._record(records.CallerDigitReceived(digit_ref=self._keep(digit), source=source))
        self._unpaired = [*self._unpaired, (digit, source, now)][-WAITING_MAX:]
        self._waiting = (self._waiting + digit)[-WAITING_MAX:]
        self._wake.set()

    async def next(self) -> str | None:
        """The next digit, or None when the session is over. A cancelled call takes none."""
        gathered = await self.gather(max_digits=1, timeout_s=None)
        return None if gathered is None else gathered.digits

    async def gather(
        self, *, max_digits: int, timeout_s: float | None, end_on: str = ""
    ) -> GatheredDigits | None:
        """The next digits together, or None when the session is over; see `RealtimeSession.gather_digits`."""
        if not 1 <= max_digits <= WAITING_MAX:
            raise ValueError(f"max_digits is 1 to {WAITING_MAX}, not {max_digits}")
        if timeout_s is not None and not timeout_s > 0:
            raise ValueError(f"timeout_s is more than 0, not {timeout_s}")
        if not set(end_on) <= set(DIGITS):
            raise ValueError("end_on holds digits only: 0-9, *, #, A, B, C and D")
        while True:
            if (gathered := self._take(max_digits, end_on)) is not None:
                return gathered
            if self._has_ended:
                return None
            self._wake.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()
            except TimeoutError:
                return self._take(max_digits, end_on) or self._take_incomplete()

    def give_back(self, digits: str) -> None:
        """Whoever took them last is gone or did not want them: they come first again."""
        if digits:
            self._waiting = (digits + self._waiting)[-WAITING_MAX:]
            self._wake.set()

    async def close(self) -> None:
        """No further digits; nobody waits for one."""
        self._has_ended = True
        self._wake.set()

    def _take(self, max_digits: int, end_on: str) -> GatheredDigits | None:
        """What is complete. Until then all of it waits: whoever gives up has taken nothing."""
        for at, digit in enumerate(self._waiting[: max_digits + 1]):
            if digit in end_on:
                given, self._waiting = self._waiting[:at], self._waiting[at + 1 :]
                return GatheredDigits(given, GatherEnd.END_ON)
        if len(self._waiting) < max_digits:
            return None
        given, self._waiting = self._waiting[:max_digits], self._waiting[max_digits:]
        return GatheredDigits(given, GatherEnd.MAX_DIGITS)

    def _take_incomplete(self) -> GatheredDigits:
        given, self._waiting = self._waiting, ""
        return GatheredDigits(given, GatherEnd.TIMEOUT)

    def _is_second_report(self, digit: str, source: DigitSource, now: float) -> bool:
        """Whether the other way has reported this press; each report has at most one twin."""
        self._unpaired = [report for report in self._unpaired if now - report[2] <= SAME_WITHIN_S]
        for at, (reported, way, _) in enumerate(self._unpaired):
            if reported == digit and way is not source:
                del self._unpaired[at]
                return True
        return False
