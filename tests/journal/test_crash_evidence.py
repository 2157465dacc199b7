"""Power cuts while checkpoints are signed, content is erased and a journal is copied into a new one."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest

from agentfield_journal import ContentGone, Retention, StoreJournal, verify
from agentfield_journal.content.port import Erasure
from agentfield_journal.content.seal import MasterKey
from agentfield_journal.content.sqlite import SqliteContent
from agentfield_journal.content.store import QueuedContentStore
from agentfield_journal.erasure import (
    ERASED_KIND,
    ERASURE_RUN,
    REQUESTED_KIND,
    ErasureReason,
    erase_subject,
    resume_erasures,
)
from agentfield_journal.evidence.checkpoints import Checkpointer
from agentfield_journal.evidence.notes import Signer
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.stores.sqlite import SqliteStore
from agentfield_journal.testing import make_draft
from agentfield_journal.testing.crash import CrashState, crash_states
from agentfield_journal.testing.disk import Disk
from agentfield_journal.tools.upgrade import copy_journal

SIGNERS = [Signer("example.org/journal", bytes([number]) * 32) for number in range(3)]
MASTER = MasterKey(b"m" * 32)
WHY = ErasureReason(requested_by="operator", reason="subject asked")

# A store in a crash state may be given up in the middle of something.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class InlineStore(SqliteStore):
    """Used from the event loop itself: one workload always writes the same."""

    blocking = False


class InlineContent(SqliteContent):
    blocking = False


Workload = Callable[[Disk, Path, str], Awaitable[None]]
Check = Callable[[CrashState, Path, str], Awaitable[None]]


async def check_crashes(workload: Workload, check: Check, folder: Path) -> int:
    """Run `workload`, and `check` on what power cuts may leave of it; the number of states looked at."""
    disk = Disk()
    with disk.mounted() as vfs:
        await workload(disk, folder, vfs)
    checked = 0
    for state in crash_states(disk.log, subsets=4):
        with Disk(state.image).mounted() as vfs:
            try:
                await check(state, folder, vfs)
            except Exception as error:
                error.add_note(state.story)
                raise
        checked += 1
    return checked


def journal_at(folder: Path, vfs: str) -> StoreJournal:
    return StoreJournal(InlineStore(folder / "journal.db", vfs=vfs))


def content_at(folder: Path, vfs: str) -> QueuedContentStore:
    return QueuedContentStore(InlineContent(folder / "content.db", MASTER, vfs=vfs))


async def write(journal: StoreJournal, run_id: str, count: int) -> None:
    writer = await journal.open_run(run_id)
    drafts = [make_draft(writer.head.seq + number) for number in range(1, count + 1)]
    await writer.durable(writer.append(drafts))
    await writer.release()


async def sign_checkpoints(disk: Disk, folder: Path, vfs: str) -> None:
    """Runs grow, checkpoints are signed, keys hand over; each published note is a promise."""
    journal = journal_at(folder, vfs)
    notes: tuple[str, ...] = ()
    checkpointer = await Checkpointer.open(journal, SIGNERS[0])
    for turn in range(6):
        await write(journal, f"run-{turn % 3}", 2)
        note = await checkpointer.checkpoint()
        assert note is not None
        notes = (*notes, note)
        disk.mark(notes)
        if turn in (1, 3):
            await checkpointer.rotate(SIGNERS[(turn + 1) // 2])
    await journal.close()


async def published_checkpoints_hold(state: CrashState, folder: Path, vfs: str) -> None:
    earlier = cast(tuple[str, ...], state.promise or ())
    journal = journal_at(folder, vfs)
    report = await verify(journal, trusted=[SIGNERS[0].verifier], earlier=earlier)
    assert report.sound, report.findings
    assert report.checkpoints >= len(earlier)
    await write(journal, "run-0", 1)
    await (await Checkpointer.open(journal, SIGNERS[0])).checkpoint()
    await journal.close()


async def erase_content(disk: Disk, folder: Path, vfs: str) -> None:
    """Two subjects, of which one is erased; the refs are what is promised."""
    journal, content = journal_at(folder, vfs), content_at(folder, vfs)
    refs = [content.put(b"words" * 99, subject=f"s-{n % 2}", retention=Retention.RUN) for n in range(4)]
    await content.durable(refs[-1])
    disk.mark(("stored", *refs))
    await erase_subject(journal, content, "s-0", why=WHY)
    disk.mark(("erased", *refs))
    await content.close()
    await journal.close()


async def erasures_are_whole_and_journaled(state: CrashState, folder: Path, vfs: str) -> None:
    journal, content = journal_at(folder, vfs), content_at(folder, vfs)
    resumed = await resume_erasures(journal, content)
    kinds = [record.kind for record in await journal.read(ERASURE_RUN)]
    if state.promise is not None:
        stage, *refs = cast(tuple[str, ...], state.promise)
        left = [ref for ref in refs[::2] if await is_there(content, ref)]
        assert left in ([], refs[::2]), "half of a subject is erased"
        assert all([await is_there(content, ref) for ref in refs[1::2]]), "another subject lost content"
        if not left:
            assert kinds[0] == REQUESTED_KIND, "content is gone and nobody asked"
        assert kinds.count(ERASED_KIND) >= kinds.count(REQUESTED_KIND), "an intent has no outcome"
        if stage == "erased" or resumed or REQUESTED_KIND in kinds:
            assert not left and ERASED_KIND in kinds
    await erase_subject(journal, content, "s-0", why=WHY)
    assert (await verify(journal)).sound
    await content.close()
    await journal.close()


async def is_there(content: QueuedContentStore, ref: str) -> bool:
    with suppress(ContentGone):
        return await content.get(ref) != b""
    return False


async def source_journal() -> StoreJournal:
    source = StoreJournal(MemoryStore())
    for number in range(5):
        await write(source, f"run-{number}", 5 + number)
    await (await Checkpointer.open(source, SIGNERS[0])).checkpoint()
    return source


async def copy_into_new(disk: Disk, folder: Path, vfs: str) -> None:
    source, target = await source_journal(), journal_at(folder, vfs)
    await copy_journal(source, target, progress=disk.mark)
    await target.close()
    await source.close()


async def copied_runs_are_whole(state: CrashState, folder: Path, vfs: str) -> None:
    source, target = await source_journal(), journal_at(folder, vfs)
    copied = 0
    for run_id in await target.all_run_ids():
        records = await target.read(run_id)
        if not run_id.startswith("journal/"):  # the source's checkpoint has another time in each life
            assert [r.record_id for r in records] == [r.record_id for r in await source.read(run_id)]
        copied += len(records)
    assert copied >= (state.promise if isinstance(state.promise, int) else 0)
    assert [finding.problem for finding in (await verify(target)).findings] == []
    await target.close()
    await source.close()


@pytest.mark.parametrize(
    ("workload", "check"),
    [
        (sign_checkpoints, published_checkpoints_hold),
        (erase_content, erasures_are_whole_and_journaled),
        (copy_into_new, copied_runs_are_whole),
    ],
    ids=["checkpoints", "erasure", "upgrade"],
)
def test_a_power_cut_leaves_evidence_that_holds(workload: Workload, check: Check, tmp_path: Path) -> None:
    checked = asyncio.run(check_crashes(workload, check, tmp_path))
    assert checked > 1_000


def test_content_erased_before_its_intent_is_durable_turns_the_check_red(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_intent = erase_subject

    async def erase_too_early(
        journal: StoreJournal, content: QueuedContentStore, subject: str, *, why: ErasureReason
    ) -> Erasure:
        await content.erase(subject)
        return await with_intent(journal, content, subject, why=why)

    monkeypatch.setattr(sys.modules[__name__], "erase_subject", erase_too_early)
    with pytest.raises(AssertionError, match="nobody asked"):
        asyncio.run(check_crashes(erase_content, erasures_are_whole_and_journaled, tmp_path))
