"""A pytest plugin (`-p tests.audit.watching`): audits every run of every journal that a test closes."""

import pytest

from agentfield_journal import JournalError, StoreJournal
from agentfield_rt.audit import Finding, audit_journal

_audited = {"journals": 0, "records": 0}
_findings: dict[str, list[Finding]] = {}


def pytest_configure(config: pytest.Config) -> None:
    close = StoreJournal.close
    seen = set[int]()

    async def audited_close(self: StoreJournal) -> None:
        if id(self) not in seen:
            seen.add(id(self))
            await _audit(self)
        await close(self)

    StoreJournal.close = audited_close  # type: ignore[method-assign]  # for this process, which only watches


async def _audit(journal: StoreJournal) -> None:
    try:
        report = await audit_journal(journal)
    except JournalError:
        return  # the test broke it on purpose
    _audited["journals"] += 1
    _audited["records"] += report.records
    for finding in report.findings:
        _findings.setdefault(str(finding.code), []).append(finding)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what was found, whatever became of the tests themselves."""
    findings = sum(map(len, _findings.values()))
    terminalreporter.write_line(
        f"audited {_audited['journals']} journals, {_audited['records']} records: {findings} findings"
    )
    for code, found in _findings.items():
        terminalreporter.write_line(f"{code}: {len(found)}, as {found[0]}")
