"""What all tests share: Hypothesis without a clock, because the machine may be busy; audited journals."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("default")


@pytest.fixture
def clean_journals() -> Iterator[None]:
    """Whatever the test is about, the auditor finds nothing wrong with the journals that it closes."""
    from tests.audit.watching import audited_journals

    with audited_journals() as findings:
        yield
    assert not findings
