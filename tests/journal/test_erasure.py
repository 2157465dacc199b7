"""Erased content is gone from every file, whatever happens on the way, and the journal still verifies."""

import tempfile
from pathlib import Path

import pytest

from agentfield_journal import ContentGone, JournalError, Retention, open_content, open_journal, verify
from agentfield_journal.content.port import Content
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
        place.mark_for_erasure("s-0")
        disk.mark("marked")
        place.finish_erasures()
        disk.mark("erased")
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
            if state.promise in ("marked", "erased"):
                with pytest.raises(ContentGone):
                    place.load("content.0")
            place.finish_erasures()
            if state.promise is not None:
                assert place.load("content.1") == b"\x01" * 900
            if state.promise in ("marked", "erased"):
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
            place.mark_for_erasure("s-0")
            place.finish_erasures()
            with pytest.raises(ContentGone):
                place.load("content.0")
            place.close()
    assert number > 60
