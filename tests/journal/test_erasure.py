"""Erased content is gone from every file, whatever happens on the way, and the journal still verifies."""

import asyncio
import tempfile
import threading
from pathlib import Path

import pytest

from agentfield_journal import (
    ContentGone,
    JournalError,
    JournalUnavailable,
    QueuedContentStore,
    Retention,
    open_content,
    open_journal,
    verify,
)
from agentfield_journal.content.port import Content, Erasure
from agentfield_journal.content.seal import MasterKey
from agentfield_journal.content.sqlite import SqliteContent
from agentfield_journal.erasure import ErasureReason, erase_subject, resume_erasures
from agentfield_journal.testing.crash import crash_states
from agentfield_journal.testing.disk import Disk

# SQLite goes on after some faults; apsw reports each of them all the same.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

WHY = ErasureReason(requested_by="operator", reason="subject asked")
MASTER = MasterKey(b"m" * 32)


@pytest.mark.asyncio
async def test_erasing_a_subject_leaves_others_and_the_chain_alone(tmp_path: Path) -> None:
    async with (
        open_journal(f"sqlite:///{tmp_path}/journal.db") as journal,
        open_content(f"sqlite:///{tmp_path}/content.db") as content,
    ):
        refs = [content.put(b"hello" * 99, subject="s-1", retention=Retention.SESSION) for _ in range(3)]
        other = content.put(b"kept", subject="s-2", retention=Retention.SESSION)
        await content.durable(other)
        erasure = await erase_subject(journal, content, "s-1", why=WHY)
        assert erasure.refs == refs
        for ref in refs:
            with pytest.raises(ContentGone):
                await content.get(ref)
        assert await content.get(other) == b"kept"
        assert (await erase_subject(journal, content, "s-1", why=WHY)).refs == []
        again = content.put(b"new life", subject="s-1", retention=Retention.SESSION)
        await content.durable(again)
        assert await content.get(again) == b"new life"
        kinds = [record.kind for record in await journal.read("journal/erasures")]
        assert kinds == ["content_erase_requested", "content_erased"] * 2
        assert (await verify(journal)).sound
        assert await resume_erasures(journal, content) == []


@pytest.mark.asyncio
async def test_content_expires_by_class_and_age(tmp_path: Path) -> None:
    now = [1_000]
    for url in ("memory:", f"sqlite:///{tmp_path}/content.db"):
        async with open_content(url, clock_ns=lambda: now[0]) as content:
            old = content.put(b"old", subject="s-1", retention=Retention.RUN)
            kept = content.put(b"kept", subject="s-1", retention=Retention.DURABLE)
            now[0] = 2_000
            young = content.put(b"young", subject="s-1", retention=Retention.RUN)
            await content.durable(young)
            assert await content.expire(before_ns={Retention.RUN: 1_500}) == [old]
            with pytest.raises(ContentGone):
                await content.get(old)
            assert [await content.get(ref) for ref in (kept, young)] == [b"kept", b"young"]
        now[0] = 1_000


@pytest.mark.asyncio
async def test_subjects_may_be_erased_at_the_same_time(tmp_path: Path) -> None:
    async with (
        open_journal(f"sqlite:///{tmp_path}/journal.db") as journal,
        open_content(f"sqlite:///{tmp_path}/content.db") as content,
    ):
        refs = [content.put(b"hello", subject=f"s-{n}", retention=Retention.SESSION) for n in range(5)]
        done = await asyncio.gather(*(erase_subject(journal, content, f"s-{n}", why=WHY) for n in range(5)))
        assert [erasure.refs for erasure in done] == [[ref] for ref in refs]
        kinds = [record.kind for record in await journal.read("journal/erasures")]
        assert kinds == ["content_erase_requested", "content_erased"] * 5


@pytest.mark.asyncio
async def test_an_erasure_that_failed_is_finished_and_answered_by_the_next(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/content.db"
    async with open_journal("memory:") as journal:
        content = await open_content(url)
        refs = [content.put(b"hello", subject=f"s-{n}", retention=Retention.SESSION) for n in range(2)]
        await content.durable(refs[1])
        erasing = content.erase_tagged

        async def fail(tag: str) -> Erasure:
            raise JournalUnavailable("the content store has gone")

        content.erase_tagged = fail  # type: ignore[method-assign]
        with pytest.raises(JournalUnavailable):
            await erase_subject(journal, content, "s-0", why=WHY)
        content.erase_tagged = erasing  # type: ignore[method-assign]
        assert (await erase_subject(journal, content, "s-1", why=WHY)).refs == refs[1:]
        records = await journal.read("journal/erasures")
        requests = [record.record_id for record in records if record.request_record_id is None]
        assert [record.request_record_id for record in records if record.request_record_id] == requests
        for ref in refs:
            with pytest.raises(ContentGone):
                await content.get(ref)
        await content.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("asks_again", [False, True])
async def test_an_outcome_lists_what_is_gone_also_after_a_crash_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asks_again: bool
) -> None:
    urls = f"sqlite:///{tmp_path}/journal.db", f"sqlite:///{tmp_path}/content.db"
    erase = QueuedContentStore.erase_tagged

    async def erase_and_die(self: QueuedContentStore, tag: str) -> Erasure:
        await erase(self, tag)
        raise JournalUnavailable("the process has died")

    async with open_journal(urls[0]) as journal, open_content(urls[1]) as content:
        refs = [content.put(b"hello", subject="s-1", retention=Retention.SESSION) for _ in range(3)]
        await content.durable(refs[2])
        with monkeypatch.context() as patch, pytest.raises(JournalUnavailable):
            patch.setattr(QueuedContentStore, "erase_tagged", erase_and_die)
            await erase_subject(journal, content, "s-1", why=WHY)
    async with open_journal(urls[0]) as journal, open_content(urls[1]) as content:
        if asks_again:
            assert (await erase_subject(journal, content, "s-1", why=WHY)).refs == []
        else:
            assert [erasure.refs for erasure in await resume_erasures(journal, content)] == [refs]
        intent, outcome = (await journal.read("journal/erasures"))[:2]
        assert outcome.request_record_id == intent.record_id
        assert list(outcome.content_refs) == refs
        assert await resume_erasures(journal, content) == []


@pytest.mark.asyncio
async def test_an_erasure_that_was_journaled_before_a_crash_is_not_journaled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = f"sqlite:///{tmp_path}/journal.db", f"sqlite:///{tmp_path}/content.db"

    async def die(self: QueuedContentStore, tag: str) -> None:
        raise JournalUnavailable("the process has died")

    async with open_journal(urls[0]) as journal, open_content(urls[1]) as content:
        ref = content.put(b"hello", subject="s-1", retention=Retention.SESSION)
        await content.durable(ref)
        with monkeypatch.context() as patch, pytest.raises(JournalUnavailable):
            patch.setattr(QueuedContentStore, "forget_erased", die)
            await erase_subject(journal, content, "s-1", why=WHY)
    async with open_journal(urls[0]) as journal, open_content(urls[1]) as content:
        assert await resume_erasures(journal, content) == []
        assert len(await journal.read("journal/erasures")) == 2
        assert await content.unfinished_erasures() == []
    assert ref.encode() not in (tmp_path / "content.db").read_bytes()


@pytest.mark.asyncio
async def test_ephemeral_content_is_erased_and_expires_too() -> None:
    now = [1_000]
    async with open_content("memory:", clock_ns=lambda: now[0]) as content:
        first, other = (
            content.put(b"words", subject=subject, retention=Retention.EPHEMERAL)
            for subject in ("s-1", "s-2")
        )
        assert (await content.erase("s-1")).refs == [first]
        with pytest.raises(ContentGone):
            await content.get(first)
        assert await content.get(other) == b"words"
        assert await content.expire(before_ns={Retention.EPHEMERAL: 2_000}) == [other]
        with pytest.raises(ContentGone):
            await content.get(other)


def test_an_erasure_waits_for_those_who_read(tmp_path: Path) -> None:
    """A reader in another process begins one read after the other while subjects are erased."""
    path = tmp_path / "content.db"
    place = SqliteContent(path, MASTER)
    reader = SqliteContent(path, MASTER, read_only=True)
    place.commit([piece(1)])
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            reader.load("content.1")

    reading = threading.Thread(target=read)
    reading.start()
    try:
        for number in range(0, 60, 2):
            place.commit([piece(number)])
            place.mark_for_erasure(place.tag("s-0"))
            assert [erasure.refs for erasure in place.finish_erasures()] == [[f"content.{number}"]]
            place.forget_erased(place.tag("s-0"))
    finally:
        ended.set()
        reading.join()
        reader.close()
        place.close()


SECRETS = (
    "SELECT sealed FROM contents WHERE subject = 1 UNION ALL SELECT wrapped FROM subjects WHERE subject = 1"
)


def store_and_erase(disk: Disk, path: Path, vfs: str) -> list[bytes]:
    """Two subjects with content, one of them erased; returns its sealed bytes and its wrapped key."""
    place = SqliteContent(path, MASTER, vfs=vfs)
    try:
        place.commit([piece(number) for number in range(8)])
        with place.file.reading() as db:
            found = db.execute(SECRETS).fetchall()
        disk.mark("stored")
        place.mark_for_erasure(place.tag("s-0"))
        disk.mark("marked")
        place.finish_erasures()
        disk.mark("erased")
        place.forget_erased(place.tag("s-0"))
        disk.mark("forgotten")
    finally:
        place.close()
    return [secret for (secret,) in found if isinstance(secret, bytes)]


def piece(number: int) -> Content:
    return Content(
        ref=f"content.{number}",
        subject=f"s-{number % 2}",
        retention=Retention.RUN,
        at_ns=number,
        data=bytes([number]) * 900,
    )


def test_a_crash_at_any_step_of_an_erasure_leaves_it_done_or_resumable() -> None:
    disk = Disk()
    path = Path(tempfile.mkdtemp(prefix="journal-erase-")) / "content.db"
    with disk.mounted() as vfs:
        secrets = store_and_erase(disk, path, vfs)
    checked = 0
    for state in crash_states(disk.log, subsets=4):
        after = Disk(state.image)
        with after.mounted() as vfs:
            place = SqliteContent(path, MASTER, vfs=vfs)
            if state.promise in ("marked", "erased", "forgotten"):
                with pytest.raises(ContentGone):
                    place.load("content.0")
            told = [erasure.refs for erasure in place.finish_erasures()]
            if state.promise == "marked":  # nothing can be forgotten before it is erased
                assert told == [[f"content.{number}" for number in range(0, 8, 2)]], state.story
            if state.promise is not None:
                assert place.load("content.1") == b"\x01" * 900
            if state.promise in ("marked", "erased", "forgotten"):
                place.close()
                left = b"".join(bytes(data) for data in after.files.values())
                assert not any(secret in left for secret in secrets), state.story
            else:
                place.close()
        checked += 1
    assert checked > 300


def test_every_failing_disk_call_leaves_an_erasure_that_can_be_finished() -> None:
    path = Path(tempfile.mkdtemp(prefix="journal-erase-")) / "content.db"
    number, reached = 0, True
    while reached:
        number += 1
        disk = Disk()
        with disk.mounted() as vfs:
            disk.fault = lambda _kind, count, at=number: "io" if count == at else None
            try:
                store_and_erase(disk, path, vfs)
            except JournalError:
                pass
            reached = disk.faults > 0
            disk.fault = None
            place = SqliteContent(path, MASTER, vfs=vfs)
            place.mark_for_erasure(place.tag("s-0"))
            place.finish_erasures()
            with pytest.raises(ContentGone):
                place.load("content.0")
            place.close()
    assert number > 60
