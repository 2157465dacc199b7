"""What the caller dials reaches the handler: each digit once, in order, whatever happens meanwhile."""

# pyright: reportPrivateUsage=false

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from agentfield_journal import JournalUnavailable
from agentfield_rt.agent import RealtimeSession
from agentfield_rt.core import records
from agentfield_rt.core.records import DigitSource, Record
from agentfield_rt.errors import SessionClosed
from agentfield_rt.voice.digits import DIGITS, SAME_WITHIN_S, WAITING_MAX, Digits, GatheredDigits, GatherEnd
from tests.planting import Plant, noticed, property_search
from tests.virtual_time import in_virtual_time, time_passes
from tests.voice.call import RUN_ID, voice_call

IN_BAND, SIGNALLED = DigitSource.IN_BAND, DigitSource.SIGNALLED


@dataclass
class Notes:
    """Takes records, or refuses them."""

    written: int = 0
    refuses: bool = False

    def write(self, record: Record) -> None:
        if self.refuses:
            raise JournalUnavailable("the test says so")
        self.written += 1

    def digits(self) -> Digits:
        return Digits(self.write, lambda text: f"ref.{text}")


def hear(digits: Digits, dialled: str, source: DigitSource = SIGNALLED) -> None:
    for digit in dialled:
        digits.hear(digit, source)


@in_virtual_time
async def test_every_digit_reaches_the_handler_in_order_and_is_recorded_by_reference() -> None:
    got: list[str] = []

    async def dials(session: RealtimeSession) -> None:
        async for digit in session.digits():
            got.append(digit)

    async with voice_call(dials) as call:
        hear(call.session.digits, DIGITS)
        await call.settle()
        assert "".join(got) == DIGITS
        written = await call.of_kind(records.CallerDigitReceived)
        assert "".join([await call.text_of(record.digit_ref) for record in written]) == DIGITS
        assert {record.source for record in written} == {SIGNALLED}


@in_virtual_time
async def test_no_digit_stands_in_the_journal_or_in_a_repr() -> None:
    got: list[GatheredDigits] = []

    async def asks(session: RealtimeSession) -> None:
        got.append(await session.gather_digits(max_digits=16, end_on=""))

    async with voice_call(asks) as call:
        hear(call.session.digits, "8" * 16)
        await call.settle()
        assert got[0].digits == "8" * 16
        assert "8" not in repr(got[0])
        await call.records()
        envelopes = await call.journal.read(RUN_ID)
        written = [envelope for envelope in envelopes if envelope.kind == records.CallerDigitReceived.kind]
        assert len(written) == 16
        for envelope in written:
            (ref,) = envelope.content_refs
            assert b"8" not in envelope.payload.replace(ref.encode(), b"")


@in_virtual_time
async def test_digits_are_gathered_up_to_the_one_that_ends_them() -> None:
    got: list[GatheredDigits] = []

    async def asks(session: RealtimeSession) -> None:
        while True:
            got.append(await session.gather_digits(max_digits=8, timeout_s=4))

    async with voice_call(asks) as call:
        hear(call.session.digits, "12")
        await time_passes(3.9)
        hear(call.session.digits, "34#")  # the time counts from the last digit
        hear(call.session.digits, "12345678#")
        hear(call.session.digits, "99")
        await time_passes(4.1)
        assert got == [
            GatheredDigits("1234", GatherEnd.END_ON),
            GatheredDigits("12345678", GatherEnd.END_ON),
            GatheredDigits("99", GatherEnd.TIMEOUT),
        ]


@in_virtual_time
async def test_enough_digits_are_complete_and_the_rest_waits_for_the_next_question() -> None:
    digits = Notes().digits()
    hear(digits, "12345")
    first = await digits.gather(max_digits=4, timeout_s=1, end_on="#")
    second = await digits.gather(max_digits=4, timeout_s=1, end_on="#")
    assert first == GatheredDigits("1234", GatherEnd.MAX_DIGITS)
    assert second == GatheredDigits("5", GatherEnd.TIMEOUT)


@in_virtual_time
async def test_whoever_gives_up_has_taken_no_digit() -> None:
    digits = Notes().digits()
    hear(digits, "12")
    asking = asyncio.create_task(digits.gather(max_digits=4, timeout_s=5, end_on="#"))
    await time_passes(1)
    asking.cancel()
    await asyncio.wait([asking])
    hear(digits, "34")
    assert await digits.gather(max_digits=4, timeout_s=5) == GatheredDigits("1234", GatherEnd.MAX_DIGITS)


@in_virtual_time
async def test_of_two_who_ask_each_digit_reaches_one() -> None:
    digits = Notes().digits()
    asking = [asyncio.create_task(digits.gather(max_digits=2, timeout_s=5)) for _ in range(2)]
    await time_passes(0.1)
    hear(digits, "1234")
    gathered = [await task for task in asking]
    assert sorted(one.digits for one in gathered if one is not None) == ["12", "34"]


@in_virtual_time
async def test_the_end_of_the_call_ends_every_question() -> None:
    raised: list[SessionClosed] = []

    async def waits(digits: Digits) -> GatheredDigits | None:
        return await digits.gather(max_digits=4, timeout_s=60)

    async def asks(session: RealtimeSession) -> None:
        try:
            await session.gather_digits(max_digits=4)
        except SessionClosed as error:
            raised.append(error)

    async with voice_call() as call:
        waiting = asyncio.create_task(waits(call.session.digits))
        asking = asyncio.create_task(asks(RealtimeSession(call.session)))
        await call.settle()
        hear(call.session.digits, "1")
        await call.session.close()
        assert await waiting is None
        await asking
        assert len(raised) == 1
        with pytest.raises(SessionClosed):
            call.session.digits.hear("1")


@in_virtual_time
async def test_a_digit_that_cannot_be_recorded_is_not_given_to_anybody() -> None:
    notes = Notes(refuses=True)
    digits = notes.digits()
    with pytest.raises(JournalUnavailable):
        digits.hear("1")
    notes.refuses = False
    digits.hear("1", IN_BAND)  # the other report of the same press gets its chance
    assert await digits.next() == "1"
    assert notes.written == 1


@in_virtual_time
async def test_of_a_caller_who_dials_on_unasked_the_oldest_digits_go() -> None:
    notes = Notes()
    digits = notes.digits()
    for _ in range(WAITING_MAX):
        digits.hear("1")
    digits.hear("2")
    gathered = await digits.gather(max_digits=WAITING_MAX, timeout_s=1)
    assert gathered is not None
    assert gathered.digits == "1" * (WAITING_MAX - 1) + "2"
    assert notes.written == WAITING_MAX + 1


@pytest.mark.parametrize("no_digit", ["", "12", "E", "a", "٣", " "])
@in_virtual_time
async def test_what_is_no_digit_is_refused(no_digit: str) -> None:
    with pytest.raises(ValueError, match="a digit is one of"):
        Notes().digits().hear(no_digit)


@in_virtual_time
async def test_a_question_that_cannot_be_answered_is_refused() -> None:
    digits = Notes().digits()
    with pytest.raises(ValueError, match="max_digits is 1 to 64, not 0"):
        await digits.gather(max_digits=0, timeout_s=1)
    with pytest.raises(ValueError, match="max_digits is 1 to 64, not 65"):
        await digits.gather(max_digits=65, timeout_s=1)
    with pytest.raises(ValueError, match="timeout_s is more than 0"):
        await digits.gather(max_digits=1, timeout_s=0)
    with pytest.raises(ValueError, match="end_on holds digits only"):
        await digits.gather(max_digits=1, timeout_s=1, end_on="x")


Press = tuple[str, float, float]
"""A key, how long after the one before it was pressed, and how much later its second report comes."""

PRESSES = st.lists(
    st.tuples(st.sampled_from(DIGITS), st.floats(0.05, 3), st.floats(0, SAME_WITHIN_S * 0.9)), max_size=12
)


async def dialled(presses: Sequence[Press], *, first: DigitSource, twice: Sequence[bool]) -> str:
    """What comes of keys of which some are reported both ways, in the order in which the reports come."""
    notes = Notes()
    digits = notes.digits()
    reports: list[tuple[float, str, DigitSource]] = []
    pressed_at = 0.0
    for (key, after_s, lag_s), both in zip(presses, twice, strict=False):
        pressed_at += after_s
        reports.append((pressed_at, key, first))
        if both:
            reports.append((pressed_at + lag_s, key, IN_BAND if first is SIGNALLED else SIGNALLED))
    now = 0.0
    for at, key, source in sorted(reports, key=lambda report: report[0]):
        await time_passes(at - now)
        now = at
        digits.hear(key, source)
    gathered = await digits.gather(max_digits=WAITING_MAX, timeout_s=0.1)
    assert gathered is not None
    assert notes.written == len(gathered.digits)
    return gathered.digits


TWICE = st.lists(st.booleans(), min_size=12, max_size=12)
SEARCH = settings(deadline=None, database=None, derandomize=True, phases=[Phase.generate])


@settings(max_examples=60, deadline=None)
@given(presses=PRESSES, first=st.sampled_from(list(DigitSource)), twice=TWICE)
def test_a_key_that_is_reported_both_ways_counts_once(
    presses: list[Press], first: DigitSource, twice: list[bool]
) -> None:
    check_counted_once(presses, first, twice)


@in_virtual_time
async def check_counted_once(presses: list[Press], first: DigitSource, twice: list[bool]) -> None:
    assert await dialled(presses, first=first, twice=twice) == "".join(key for key, _, _ in presses)


# Whatever is asked, given up and dialled in between: every digit is given to one who asks, in order.

STEPS = st.lists(
    st.sampled_from(DIGITS) | st.sampled_from(["ask", "ask two", "give up", "wait", "cannot record"]),
    max_size=40,
)


async def perform(steps: Sequence[str]) -> None:
    """Dial, ask and give up; at the end nothing is lost, given twice or out of order."""
    notes = Notes()
    digits = notes.digits()
    heard = ""
    asking: list[asyncio.Task[GatheredDigits | None]] = []
    given: list[str] = []

    def note(task: asyncio.Task[GatheredDigits | None]) -> None:
        if not task.cancelled() and (gathered := task.result()) is not None:
            given.append(gathered.digits)

    for step in steps:
        match step:
            case "ask" | "ask two":
                most = 2 if step == "ask two" else 4
                asking.append(asyncio.create_task(digits.gather(max_digits=most, timeout_s=3)))
                asking[-1].add_done_callback(note)
            case "give up":
                for task in asking[-1:]:
                    task.cancel()
            case "wait":
                await time_passes(1.1)
            case "cannot record":
                notes.refuses = True
                with pytest.raises(JournalUnavailable):
                    digits.hear("5")
                notes.refuses = False
            case _:
                digits.hear(step)
                heard += step
        await time_passes(0)
        assert notes.written == len(heard)
    await time_passes(10)
    assert all(task.done() for task in asking), "somebody waits for ever"
    rest = await digits.gather(max_digits=WAITING_MAX, timeout_s=0.1)
    assert rest is not None
    assert "".join(given) + rest.digits == heard


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_every_digit_is_given_once_in_order_whoever_asks_and_gives_up(steps: list[str]) -> None:
    in_virtual_time(perform)(steps)


def counts_both_reports(patch: pytest.MonkeyPatch) -> None:
    def is_second(*_: object) -> bool:
        return False

    patch.setattr(Digits, "_is_second_report", is_second)


def takes_any_report_for_the_second(patch: pytest.MonkeyPatch) -> None:
    def is_second(self: Digits, digit: str, source: DigitSource, now: float) -> bool:
        return any(reported == digit for reported, _, _ in self._unpaired)

    patch.setattr(Digits, "_is_second_report", is_second)


def takes_before_it_is_complete(patch: pytest.MonkeyPatch) -> None:
    original = Digits.gather

    async def gather(self: Digits, **wanted: Any) -> GatheredDigits | None:
        so_far, self._waiting = self._waiting[: wanted["max_digits"] - 1], ""
        gathered = await original(self, **wanted)
        return gathered and GatheredDigits(so_far + gathered.digits, gathered.ended_by)

    patch.setattr(Digits, "gather", gather)


def newest_first(patch: pytest.MonkeyPatch) -> None:
    original = Digits._take

    def take(self: Digits, max_digits: int, end_on: str) -> GatheredDigits | None:
        self._waiting = self._waiting[::-1]
        return original(self, max_digits, end_on)

    patch.setattr(Digits, "_take", take)


def given_though_not_recorded(patch: pytest.MonkeyPatch) -> None:
    original = Digits.hear

    def hear(self: Digits, digit: str, source: DigitSource = SIGNALLED) -> None:
        self._waiting += digit
        waiting = self._waiting
        original(self, digit, source)
        self._waiting = waiting

    patch.setattr(Digits, "hear", hear)


@pytest.mark.parametrize(
    "plant",
    [
        counts_both_reports,
        takes_any_report_for_the_second,
        takes_before_it_is_complete,
        newest_first,
        given_though_not_recorded,
    ],
    ids=lambda plant: plant.__name__,
)
def test_a_planted_bug_turns_the_rules_red(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    def search(steps: list[str], presses: list[Press], first: DigitSource, twice: list[bool]) -> None:
        in_virtual_time(perform)(steps)
        check_counted_once(presses, first, twice)

    with noticed(plant, monkeypatch, AssertionError):
        property_search(search, STEPS, PRESSES, st.sampled_from(list(DigitSource)), TWICE)()
