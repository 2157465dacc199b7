"""A plane signs what its journal was, where a later cut cannot reach, and deletes content in time."""

import asyncio
import stat
from pathlib import Path

import pytest

from agentfield_journal import (
    ContentGone,
    JournalUnavailable,
    QueuedContentStore,
    Report,
    Retention,
    open_content,
    open_journal,
    verify,
)
from agentfield_journal.content.port import Erasure
from agentfield_journal.erasure import ErasureReason, erase_subject
from agentfield_journal.evidence.notes import VerifierKey
from agentfield_journal.evidence.places import read_notes
from agentfield_rt.config import Settings
from agentfield_rt.plane.control_plane import open_control_plane
from agentfield_rt.plane.errors import DataDirectoryUnusable
from agentfield_rt.plane.runs import Runs
from agentfield_rt.plane.upkeep.content_expiry import days_kept, expire_content
from agentfield_rt.plane.upkeep.evidence import EvidenceFiles, keep_evidence


async def checked(data: Path, *, notes: Path | None = None) -> Report:
    """The journal, verified with nothing but what an auditor may have kept."""
    files = EvidenceFiles.beside(data)
    key = VerifierKey.parse(files.verifier_key.read_text())
    async with open_journal(f"sqlite:///{files.journal}", read_only=True) as journal:
        return await verify(journal, trusted=[key], earlier=read_notes(notes or files.checkpoints))


@pytest.mark.asyncio
async def test_a_run_that_ended_is_in_a_signed_checkpoint_before_the_server_ends(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, checkpoint_every_s=0.01)
    async with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        runs = Runs(journal)
        async with keep_evidence(journal, runs, settings):
            await runs.hold("run_1")
            await runs.let_go("run_1")
            async for record in journal.subscribe("journal/checkpoints"):
                if b"run_1" in record.payload:
                    break
    assert (await checked(tmp_path)).sound


@pytest.mark.asyncio
async def test_the_last_checkpoint_sees_the_end_and_the_next_server_goes_on(tmp_path: Path) -> None:
    for life in range(2):
        settings = Settings(data=tmp_path, checkpoint_every_s=3_600)
        async with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
            runs = Runs(journal)
            async with keep_evidence(journal, runs, settings):
                await runs.hold(f"run_{life}")
                await runs.let_go(f"run_{life}")
    report = await checked(tmp_path)
    assert report.sound and report.checkpoints == len(read_notes(tmp_path / "checkpoints")) >= 2
    async with open_journal(f"sqlite:///{tmp_path}/journal.db", read_only=True) as journal:
        payloads = b"".join(record.payload for record in await journal.read("journal/checkpoints"))
    assert b"run_0" in payloads and b"run_1" in payloads


@pytest.mark.asyncio
async def test_a_journal_set_back_is_found_by_checkpoints_from_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "checkpoints"
    data = tmp_path / "data"
    data.mkdir()
    before = b""
    for life in range(2):
        before = (data / "journal.db").read_bytes() if life else b""
        settings = Settings(data=data, checkpoints=elsewhere)
        async with open_journal(f"sqlite:///{data}/journal.db") as journal:
            runs = Runs(journal)
            async with keep_evidence(journal, runs, settings):
                await runs.hold(f"run_{life}")
                await runs.let_go(f"run_{life}")
    assert (await checked(data, notes=elsewhere)).sound
    (data / "journal.db").write_bytes(before)
    (finding,) = (await checked(data, notes=elsewhere)).findings
    assert "it was cut, or is an older copy" in finding.problem


@pytest.mark.asyncio
async def test_only_the_owner_reads_the_signing_key_and_a_shared_one_is_refused(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    async with open_control_plane(settings=settings):
        pass
    key = EvidenceFiles.beside(tmp_path).signing_key
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    key.chmod(0o644)
    with pytest.raises(DataDirectoryUnusable, match="chmod 600"):
        async with open_control_plane(settings=settings):
            pass


@pytest.mark.asyncio
async def test_a_place_that_takes_no_checkpoint_is_logged_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    settings = Settings(data=tmp_path, checkpoints=blocked / "checkpoints")
    async with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        runs = Runs(journal)
        async with keep_evidence(journal, runs, settings):
            await runs.hold("run_1")
            await runs.let_go("run_1")
        assert (await journal.read("run_1"))[-1].kind == "run_cancelled"
    assert "no checkpoint was written" in caplog.text


def test_content_is_kept_for_thirty_days_unless_somebody_says_otherwise(tmp_path: Path) -> None:
    assert days_kept(Settings(data=tmp_path)) == {Retention.RUN: 30, Retention.SESSION: 30}
    assert days_kept(Settings(data=tmp_path, content_days=400))[Retention.SESSION] == 400
    assert days_kept(Settings(data=tmp_path, content_days=0)) == {}


@pytest.mark.asyncio
async def test_content_that_is_too_old_is_deleted_and_durable_content_is_not(tmp_path: Path) -> None:
    day_ns = 86_400_000_000_000
    now_ns = [0]
    settings = Settings(data=tmp_path)
    async with open_content("memory:", clock_ns=lambda: now_ns[0]) as content:
        old = content.put(b"old", subject="s", retention=Retention.SESSION)
        kept = content.put(b"kept", subject="s", retention=Retention.DURABLE)
        await content.durable(kept)
        now_ns[0] = 40 * day_ns
        young = content.put(b"young", subject="s", retention=Retention.SESSION)
        await content.durable(young)
        async with expire_content(content, settings, clock=lambda: 60 * day_ns):
            await asyncio.sleep(0)  # it has begun, and is waited for
        with pytest.raises(ContentGone):
            await content.get(old)
        assert [await content.get(ref) for ref in (kept, young)] == [b"kept", b"young"]


@pytest.mark.asyncio
async def test_a_plane_finishes_the_erasures_that_a_process_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(self: QueuedContentStore, tag: str) -> Erasure:
        raise JournalUnavailable("the process has died")

    why = ErasureReason(requested_by="operator", reason="subject asked")
    journal_url, content_url = f"sqlite:///{tmp_path}/journal.db", f"sqlite:///{tmp_path}/content.db"
    async with open_journal(journal_url) as journal, open_content(content_url) as content:
        ref = content.put(b"hello", subject="s", retention=Retention.SESSION)
        await content.durable(ref)
        with monkeypatch.context() as patch, pytest.raises(JournalUnavailable):
            patch.setattr(QueuedContentStore, "erase_tagged", die)
            await erase_subject(journal, content, "s", why=why)
    async with open_control_plane(settings=Settings(data=tmp_path)) as plane:
        intent, outcome = await plane.journal.read("journal/erasures")
        assert (outcome.request_record_id, outcome.content_refs) == (intent.record_id, (ref,))
        with pytest.raises(ContentGone):
            await plane.content.get(ref)
