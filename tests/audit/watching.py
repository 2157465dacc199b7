"""Audits every run of every journal that is closed while it watches."""

from collections.abc import Generator
from contextlib import contextmanager, suppress

import pytest

from agentfield_journal import JournalError, StoreJournal
from agentfield_rt.audit import Finding, audit_journal


@contextmanager
def audited_journals() -> Generator[list[Finding]]:
    """What is wrong with journals that are closed in the block; what cannot be read was broken on purpose."""
    findings: list[Finding] = []
    close = StoreJournal.close

    async def audited_close(self: StoreJournal) -> None:
        with suppress(JournalError):
            findings.extend((await audit_journal(self)).findings)
        await close(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StoreJournal, "close", audited_close)
        yield findings
