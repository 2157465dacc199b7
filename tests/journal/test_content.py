"""Content is found under its ref, kept per subject, and never readable in the file."""

import itertools
import os
import threading
from pathlib import Path

import pytest

from agentfield_journal import (
    ContentGone,
    ContentStore,
    JournalConflict,
    JournalCorrupt,
    JournalFull,
    JournalUnavailable,
    Retention,
    open_content,
)
from agentfield_journal.content.port import Content
from agentfield_journal.content.store import MemoryContent, QueuedContentStore

SENTINEL = b"the caller's card number is 4111"


def _found_in_files(folder: Path, needle: bytes) -> bool:
    return any(needle in file.read_bytes() for file in folder.iterdir())


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.asyncio
async def test_content_is_found_at_once_and_when_durable(kind: str, tmp_path: Path) -> None:
    url = "memory:" if kind == "memory" else f"sqlite:///{tmp_path}/content.db"
    async with open_content(url) as store:
        assert isinstance(store, ContentStore)
        ref = store.put(SENTINEL, subject="subject-1", retention=Retention.RUN)
        assert await store.get(ref) == SENTINEL
        await store.durable(ref)
        assert await store.get(ref) == SENTINEL
        with pytest.raises(ContentGone):
            await store.get("content.unknown")


@pytest.mark.asyncio
async def test_stored_content_survives_reopening_and_is_not_readable_in_the_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/content.db"
    async with open_content(url) as store:
        refs = [store.put(SENTINEL, subject=f"subject-{n % 3}", retention=Retention.RUN) for n in range(20)]
    async with open_content(url) as store:
        assert [await store.get(ref) for ref in refs] == [SENTINEL] * 20
        assert not _found_in_files(tmp_path, SENTINEL)
        assert not _found_in_files(tmp_path, b"subject-1")


@pytest.mark.asyncio
async def test_refs_are_in_the_order_in_which_content_was_put_and_none_is_like_another() -> None:
    now_ns = itertools.count(1_700_000_000_000_000_000, 500_000)  # two of a millisecond, then the next
    async with open_content("memory:", clock_ns=lambda: next(now_ns)) as store:
        refs = [store.put(SENTINEL, subject="subject-1", retention=Retention.RUN) for _ in range(40)]
    assert refs[::2] == sorted(refs[::2])
    assert len({ref[-35:] for ref in refs}) == 40


@pytest.mark.asyncio
async def test_ephemeral_content_is_never_written(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/content.db"
    async with open_content(url) as store:
        ref = store.put(SENTINEL, subject="subject-1", retention=Retention.EPHEMERAL)
        assert await store.get(ref) == SENTINEL
    async with open_content(url) as store:
        with pytest.raises(ContentGone):
            await store.get(ref)


@pytest.mark.asyncio
async def test_another_master_key_opens_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/content.db"
    async with open_content(url, master_key=b"a" * 32) as store:
        ref = store.put(SENTINEL, subject="subject-1", retention=Retention.RUN)
    async with open_content(url, master_key=b"b" * 32) as store:
        with pytest.raises(JournalCorrupt):
            await store.get(ref)


@pytest.mark.asyncio
async def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/content.db"
    async with open_content(url):
        os.chmod(tmp_path / "content.db.key", 0o644)
    with pytest.raises(JournalConflict, match="chmod 600"):
        await open_content(url)


@pytest.mark.asyncio
@pytest.mark.parametrize("read_only", [False, True])
async def test_a_store_whose_key_is_lost_is_not_given_another_one(tmp_path: Path, read_only: bool) -> None:
    url = f"sqlite:///{tmp_path}/content.db"
    async with open_content(url):
        pass
    (tmp_path / "content.db.key").unlink()
    with pytest.raises(JournalConflict, match=r"content\.db\.key is gone"):
        await open_content(url, read_only=read_only)
    assert not (tmp_path / "content.db.key").exists()


@pytest.mark.asyncio
async def test_a_closed_store_refuses(tmp_path: Path) -> None:
    store = await open_content(f"sqlite:///{tmp_path}/content.db")
    await store.close()
    await store.close()
    with pytest.raises(JournalUnavailable):
        store.put(b"x", subject="subject-1", retention=Retention.RUN)


class FailingPlace(MemoryContent):
    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.closed_by: str | None = None

    def commit(self, group: list[Content], /) -> list[Content]:
        raise OSError(5, "Input/output error")

    def close(self) -> None:
        self.closed_by = threading.current_thread().name


@pytest.mark.asyncio
async def test_content_that_could_not_be_stored_is_never_called_durable() -> None:
    store = QueuedContentStore(FailingPlace())
    first = store.put(b"1", subject="subject-1", retention=Retention.RUN)
    for _ in range(2):
        with pytest.raises(JournalUnavailable):
            await store.durable(first)
    with pytest.raises(JournalUnavailable):
        store.put(b"2", subject="subject-1", retention=Retention.RUN)
    await store.close()
    with pytest.raises(JournalUnavailable):
        await store.durable(first)


@pytest.mark.asyncio
async def test_a_place_is_closed_where_it_cannot_block_the_event_loop() -> None:
    place = FailingPlace()
    await QueuedContentStore(place).close()
    assert place.closed_by is not None and place.closed_by != threading.main_thread().name


@pytest.mark.asyncio
async def test_ephemeral_content_is_bounded() -> None:
    async with open_content("memory:") as store:
        megabytes = bytes(16 << 20)
        refs = [store.put(megabytes, subject="s", retention=Retention.EPHEMERAL) for _ in range(4)]
        with pytest.raises(JournalFull, match="forget some"):
            store.put(b"x", subject="s", retention=Retention.EPHEMERAL)
        store.forget_ephemeral(refs[0])
        assert await store.get(store.put(b"x", subject="s", retention=Retention.EPHEMERAL)) == b"x"
