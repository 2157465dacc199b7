"""`af journal erase`: content destroyed for good, with an intent and an outcome in the journal."""

import asyncio
from pathlib import Path

from agentfield_journal import open_content, open_journal
from agentfield_journal.content.port import Erasure
from agentfield_journal.erasure import ErasureReason, erase_subject, resume_erasures
from agentfield_rt.cli.journal_reading import content_file, journal_file
from agentfield_rt.cli.printing import stderr, stdout, write_result


def print_erasure(data: str, subject: str, *, by: str, reason: str, as_json: bool) -> None:
    """Erase the content of `subject`.

    Raises:
        Failure: there is no journal, or no content store beside it.
        JournalConflict: a server has them open.
    """
    journal, content = journal_file(data), content_file(data)
    with stderr().status("Erasing …"):
        why = ErasureReason(requested_by=by, reason=reason)
        erasure = asyncio.run(_erase(journal, content, subject, why))
    if as_json:
        write_result({"subject_tag": erasure.tag, "erased": len(erasure.refs), "refs": erasure.refs})
    elif erasure.refs:
        stdout().print(f"{len(erasure.refs)} pieces of content are gone; the journal says so")
    else:
        stdout().print("There was no content of that subject; the journal says that you asked")


async def _erase(journal_path: Path, content_path: Path, subject: str, why: ErasureReason) -> Erasure:
    async with (
        open_journal(f"sqlite:///{journal_path}") as journal,
        open_content(f"sqlite:///{content_path}") as content,
    ):
        await resume_erasures(journal, content)
        return await erase_subject(journal, content, subject, why=why)
