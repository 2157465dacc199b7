"""Signed checkpoints of the plane's journal: at start, now and then, when a run ends, at the end.

Knows nothing of sessions; what was cut from the journal later, an auditor sees by a checkpoint from before.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agentfield_journal import JournalError, StoreJournal
from agentfield_journal.evidence.checkpoints import Checkpointer
from agentfield_journal.evidence.notes import Signer, load_or_make_signer
from agentfield_journal.evidence.places import CheckpointFile
from agentfield_rt.config import Settings
from agentfield_rt.plane.errors import DataDirectoryUnusable
from agentfield_rt.plane.runs import Runs
from agentfield_rt.plane.upkeep.recurring import recurring

log = logging.getLogger(__name__)

_SIGNER_NAME = "agentfield-rt/journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceFiles:
    """Where the evidence of a data directory is.

    Attributes:
        signing_key: Private, readable by its owner only; whoever has it can sign anew what they changed.
        verifier_key: Its public half, to hand to an auditor before there is anything to doubt.
        checkpoints: Notes, one after the other; only ever appended to.
    """

    journal: Path
    signing_key: Path
    verifier_key: Path
    checkpoints: Path

    @classmethod
    def beside(cls, data: Path) -> "EvidenceFiles":
        """Those of the data directory `data`."""
        return cls(
            journal=data / "journal.db",
            signing_key=data / "journal.key",
            verifier_key=data / "journal.pub",
            checkpoints=data / "checkpoints",
        )


@asynccontextmanager
async def keep_evidence(journal: StoreJournal, runs: Runs, settings: Settings) -> AsyncGenerator[None]:
    """Write checkpoints while the block runs, and a last one after it.

    Raises:
        DataDirectoryUnusable: the signing key cannot be read or made, or others can read it.
    """
    if settings.checkpoint_every_s == 0:
        yield
        return
    files = EvidenceFiles.beside(settings.data)
    signer = await asyncio.to_thread(_signer, files)
    place = CheckpointFile(settings.checkpoints or files.checkpoints)
    evidence = _Evidence(await Checkpointer.open(journal, signer, places=[place]), runs)
    try:
        async with recurring(evidence.checkpoint, every_s=settings.checkpoint_every_s, wake=runs.ended):
            yield
    finally:
        await evidence.checkpoint()


def _signer(files: EvidenceFiles) -> Signer:
    try:
        signer = load_or_make_signer(files.signing_key, _SIGNER_NAME)
        public = f"{signer.verifier}\n"
        if not files.verifier_key.is_file() or files.verifier_key.read_text() != public:
            files.verifier_key.write_text(public)
    except (OSError, ValueError) as error:
        raise DataDirectoryUnusable(f"the journal's signing key cannot be used: {error}") from error
    return signer


class _Evidence:
    """Signs what changed: everything the first time, then only the runs that this process wrote."""

    def __init__(self, checkpointer: Checkpointer, runs: Runs) -> None:
        self._checkpointer = checkpointer
        self._runs = runs
        self._began = False

    async def checkpoint(self) -> None:
        """Sign once. A failure is logged: the journal goes on, and the next checkpoint covers this one."""
        self._runs.ended.clear()
        written = self._runs.take_written()
        try:
            await self._checkpointer.checkpoint(written if self._began else None)
            self._began = True
        except JournalError as error:
            self._began = False
            log.warning("no checkpoint was written: %s", error)
