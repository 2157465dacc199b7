"""A run on a server is leased: one holder at a time, handed over at once, never written by two."""

# A bug is planted inside the stores, so this file reaches where no other may.
# pyright: reportPrivateUsage=false

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

import pytest

from agentfield_journal import (
    JournalConflict,
    JournalCorrupt,
    JournalUnavailable,
    LeaseTerms,
    Opening,
    RunLeased,
    StoreJournal,
    open_journal,
    verify,
)
from agentfield_journal.leased import LeasedJournal, open_run_when_free
from agentfield_journal.stores.leasing import HeldLeases
from agentfield_journal.testing import make_draft
from tests.planting import Plant, noticed

WRITER = Path(__file__).with_name("leased_writer.py")
SHORT_S = 1.0
WAIT_MAX_S = 60.0


def opened(url: str, holder: str, lease_s: float = 30.0) -> Opening[StoreJournal]:
    return open_journal(url, lease=LeaseTerms(holder=holder, lease_s=lease_s))


@contextmanager
def writing_process(url: str, holder: str, lease_s: float = SHORT_S) -> Generator[subprocess.Popen[str]]:
    command = [sys.executable, str(WRITER), url, holder, str(lease_s)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def start(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def line_of(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


async def a_live_lease_is_refused_by_name(url: str) -> None:
    async with opened(url, "plane-1") as one, opened(url, "plane-2") as two:
        writer = await one.open_run("run-1")
        await writer.durable(writer.append([make_draft(1)]))
        with pytest.raises(RunLeased, match="run-1 is leased to plane-1 for another") as refused:
            await two.open_run("run-1")
        assert (refused.value.run_id, refused.value.holder) == ("run-1", "plane-1")
        assert 0 < refused.value.ends_in_s <= 30
        assert refused.value.ends_at_ns > 1_700_000_000_000_000_000
        await writer.durable(writer.append([make_draft(2)]))
        await (await two.open_run("run-2")).release()


@pytest.mark.asyncio
async def test_a_run_with_a_live_lease_is_refused_by_the_holder_s_name_and_its_end(server_url: str) -> None:
    await a_live_lease_is_refused_by_name(server_url)


@pytest.mark.asyncio
async def test_a_refused_opening_leaves_no_trace(server_url: str) -> None:
    async with opened(server_url, "plane-1") as one, opened(server_url, "plane-2") as two:
        writer = await one.open_run("run-1")
        for _ in range(3):
            with pytest.raises(RunLeased):
                await two.open_run("run-1")
        await writer.release()
        assert (await two.open_run("run-1")).epoch == writer.epoch + 1


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["release", "close"])
async def test_a_run_is_handed_over_at_once(server_url: str, how: str) -> None:
    one = await opened(server_url, "plane-1")
    async with opened(server_url, "plane-2") as two:
        writer = await one.open_run("run-1")
        writer.append([make_draft(1)])
        await (writer.release() if how == "release" else one.close())
        taken = await two.open_run("run-1")
        assert taken.epoch > writer.epoch
        await taken.durable(taken.append([make_draft(2)]))
        assert [record.epoch for record in await two.read("run-1")] == [writer.epoch, taken.epoch]
        await one.close()


async def of_two_who_race_one_gets_each_run(url: str) -> None:
    async with opened(url, "plane-1") as one, opened(url, "plane-2") as two:
        for number in range(40):
            run_id = f"run-{number}"
            found = await asyncio.gather(one.open_run(run_id), two.open_run(run_id), return_exceptions=True)
            assert sorted(isinstance(outcome, RunLeased) for outcome in found) == [False, True], found


@pytest.mark.asyncio
async def test_of_two_who_race_for_a_run_exactly_one_gets_it(server_url: str) -> None:
    await of_two_who_race_one_gets_each_run(server_url)


def test_of_two_processes_exactly_one_writes(server_url: str) -> None:
    with writing_process(server_url, "one") as one, writing_process(server_url, "two") as two:
        start(one)
        start(two)
        first = {"one": line_of(one), "two": line_of(two)}
        (winner,) = [name for name, line in first.items() if line[0] == "opened"]
        (loser,) = [name for name, line in first.items() if line[0] == "refused"]
        assert first[loser] == ["refused", winner]


@pytest.mark.asyncio
async def test_a_killed_holder_has_its_runs_back_at_once_and_others_after_the_lease(server_url: str) -> None:
    with writing_process(server_url, "plane-1", 30) as process:
        start(process)
        assert line_of(process) == ["opened", "1"]
        assert line_of(process)[0] == "durable"
    async with opened(server_url, "plane-2") as other:
        with pytest.raises(RunLeased):
            await other.open_run("run-1")
    async with opened(server_url, "plane-1", SHORT_S) as again:
        assert (await again.open_run("run-1")).epoch == 2


@pytest.mark.asyncio
async def test_after_a_stopped_holder_lost_its_run_no_record_of_it_follows(server_url: str) -> None:
    with writing_process(server_url, "plane-1") as process:
        start(process)
        assert line_of(process) == ["opened", "1"]
        while line_of(process) != ["durable", "20"]:
            pass
        process.send_signal(signal.SIGSTOP)
        async with opened(server_url, "plane-2") as other:
            writer = await open_run_when_free(other, "run-1", wait_max_s=WAIT_MAX_S)
            assert writer.epoch == 2
            await writer.durable(writer.append([make_draft(1_000_000)]))
            process.send_signal(signal.SIGCONT)
            rest, _ = await asyncio.to_thread(process.communicate, "", 60)
            assert rest.splitlines()[-1] in ("stopped JournalUnavailable", "stopped JournalConflict")
            await writer.durable(writer.append([make_draft(1_000_001)]))
            records = await other.read("run-1")
            assert [record.epoch for record in records[-2:]] == [2, 2]
            assert all(record.epoch == 1 for record in records[:-2])
            told = [int(line.split()[1]) for line in rest.splitlines() if line.startswith("durable")]
            assert max(told, default=20) <= len(records) - 2
            assert (await verify(other)).sound


@pytest.mark.asyncio
async def test_a_lease_is_renewed_for_as_long_as_the_run_is_open(server_url: str) -> None:
    async with opened(server_url, "plane-1", SHORT_S) as one, opened(server_url, "plane-2") as two:
        writer = await one.open_run("run-1")
        with pytest.raises(RunLeased):
            await open_run_when_free(two, "run-1", wait_max_s=2.5 * SHORT_S)
        await writer.durable(writer.append([make_draft(1)]))


async def a_holder_stops_before_its_lease_ends(url: str) -> None:
    async with opened(url, "plane-1") as one, opened(url, "plane-2") as two:
        assert isinstance(one, LeasedJournal)
        writer = await one.open_run("run-1")
        await writer.durable(writer.append([make_draft(1)]))
        leases: HeldLeases = one._leases
        clock_s = leases.clock_s
        leases.clock_s = lambda: clock_s() + 23  # of 30: nothing was renewed for so long
        with pytest.raises(JournalUnavailable, match="was not renewed in time"):
            writer.append([make_draft(2)])
        leases.clock_s = clock_s
        with pytest.raises(JournalUnavailable, match="was not renewed in time"):
            writer.append([make_draft(2)])
        with pytest.raises(RunLeased):
            await two.open_run("run-1")
        again = await one.open_run("run-1")
        assert again.append([make_draft(2)]).seq == 2


@pytest.mark.asyncio
async def test_a_holder_that_cannot_renew_appends_no_more_before_its_lease_ends(server_url: str) -> None:
    await a_holder_stops_before_its_lease_ends(server_url)


@pytest.mark.asyncio
async def test_a_writer_that_waits_hears_that_its_lease_was_not_renewed(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(server_url, "plane-1", SHORT_S) as journal:
        writer = await journal.open_run("run-1")

        def fail(runs: object = None) -> None:
            raise JournalUnavailable("the server does not answer")

        monkeypatch.setattr(journal.store, "renew", fail)
        with pytest.raises(JournalUnavailable, match="was not renewed in time"):
            async with asyncio.timeout(WAIT_MAX_S):
                while True:
                    await writer.durable(writer.append([make_draft(writer.head.seq + 1)]))


async def the_store_refuses_a_stale_epoch_whatever_the_lease_says(url: str) -> None:
    async with opened(url, "plane-1") as one, opened(url, "plane-1") as two:
        old = await one.open_run("run-1")
        await old.durable(old.append([make_draft(1)]))
        new = await two.open_run("run-1")
        with pytest.raises(JournalConflict, match="stale"):
            await old.durable(old.append([make_draft(2)]))
        await new.durable(new.append([make_draft(3)]))
        assert [record.epoch for record in await two.read("run-1")] == [old.epoch, new.epoch]


@pytest.mark.asyncio
async def test_the_store_refuses_a_stale_epoch_whatever_the_lease_says(server_url: str) -> None:
    await the_store_refuses_a_stale_epoch_whatever_the_lease_says(server_url)


@pytest.mark.asyncio
async def test_a_lease_that_nobody_uses_is_given_back(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(server_url, "plane-1", SHORT_S) as one, opened(server_url, "plane-2") as two:

        def damaged(*_: object) -> int:
            raise JournalCorrupt("record 1 does not match its hash", run_id="run-1", seq=1)

        await (await one.open_run("run-1")).release()
        writer = await one.open_run("run-1")
        await writer.durable(writer.append([make_draft(1)]))
        await writer.release()
        monkeypatch.setattr(one, "_index", damaged)
        with pytest.raises(JournalCorrupt):
            await one.open_run("run-1")
        await open_run_when_free(two, "run-1", wait_max_s=WAIT_MAX_S)


@pytest.mark.parametrize("terms", [{"lease_s": 0.5}, {"lease_s": 4_000.0}, {"holder": ""}])
def test_terms_without_sense_are_refused(terms: dict[str, str | float]) -> None:
    with pytest.raises(ValueError, match=r"lease|holder"):
        LeaseTerms(**terms)  # type: ignore[arg-type]  # that is what is refused


def ignore_leases(patch: pytest.MonkeyPatch) -> None:
    from agentfield_journal.stores import nats_leases, postgres_leases

    async def free(*_: object) -> None:
        """As if it were."""

    taking: LiteralString = postgres_leases._TAKE.partition(" WHERE ")[0] + " RETURNING run"
    patch.setattr(postgres_leases, "_TAKE", taking)
    patch.setattr(nats_leases.NatsLeases, "_require_free", free)


def accept_a_stale_epoch(patch: pytest.MonkeyPatch) -> None:
    from agentfield_journal.stores import nats_publisher, postgres, postgres_line

    checked = "WHERE w.epoch IS DISTINCT FROM"
    assert checked in postgres_line.APPEND_FUNCTION
    blind = postgres_line.APPEND_FUNCTION.replace(checked, "WHERE false AND w.epoch IS DISTINCT FROM")
    patch.setattr(postgres, "APPEND_FUNCTION", blind)
    patch.setattr(nats_publisher, "_EXPECTED_PLACE", "Nothing-Expected")


def rely_on_a_lease_for_ever(patch: pytest.MonkeyPatch) -> None:
    def usable(*_: object) -> bool:
        return True

    patch.setattr(HeldLeases, "usable", usable)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("plant", "proof"),
    [
        (ignore_leases, a_live_lease_is_refused_by_name),
        (ignore_leases, of_two_who_race_one_gets_each_run),
        (accept_a_stale_epoch, the_store_refuses_a_stale_epoch_whatever_the_lease_says),
        (rely_on_a_lease_for_ever, a_holder_stops_before_its_lease_ends),
    ],
    ids=lambda function: function.__name__,
)
async def test_a_planted_bug_is_found(
    plant: Plant,
    proof: Callable[[str], Awaitable[None]],
    server_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with noticed(plant, monkeypatch, AssertionError, pytest.fail.Exception):
        await proof(server_url)
