"""What all tests share: Hypothesis without a clock, because the machine may be busy; audited journals."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("default")

LONGEST = (
    "tests/local_provider/test_fault_table.py",
    "tests/simulation/test_worlds.py",
    "tests/journal/test_kill.py",
    "tests/journal/test_crash_states.py",
    "tests/journal/test_damage.py",
    "tests/journal/test_server_faults.py",
    "tests/controller/test_machine.py",
    "tests/e2e/test_browser_calls.py",
)
"""They begin first: at the end of a run no processor waits for the last of them."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    files = {file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: files.get(item.nodeid.partition("::")[0], len(files)))


@pytest.fixture
def clean_journals() -> Iterator[None]:
    """Whatever the test is about, the auditor finds nothing wrong with the journals that it closes."""
    from tests.audit.watching import audited_journals

    with audited_journals() as findings:
        yield
    assert not findings
