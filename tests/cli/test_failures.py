"""Whose fault an error is, as an exit code and one line."""

import pytest

from agentfield_journal import JournalConflict, JournalError
from agentfield_rt.cli.failures import ExitCode, as_failure
from agentfield_rt.errors import IllegalCommand, ProviderError, RealtimeError, Reason, UnsupportedTransport
from agentfield_rt.plane.errors import Busy, DataDirectoryInUse, NotFound


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (IllegalCommand("not while it is closed"), ExitCode.USER),
        (UnsupportedTransport("no such pair"), ExitCode.USER),
        (JournalConflict("another process writes it"), ExitCode.USER),
        (DataDirectoryInUse("stop the other server"), ExitCode.USER),
        (NotFound("no such session"), ExitCode.USER),
        (Busy("try again later"), ExitCode.SERVER),
        (RealtimeError("something else"), ExitCode.SERVER),
        (ProviderError("it is gone", reason=Reason.UNAVAILABLE), ExitCode.SERVER),
        (JournalError("the disk is full"), ExitCode.SERVER),
        (OSError("no such device"), ExitCode.SERVER),
    ],
)
def test_an_error_is_the_user_s_or_the_server_s_and_keeps_its_words(
    error: Exception, exit_code: ExitCode
) -> None:
    failure = as_failure(error)
    assert failure is not None
    assert (str(failure), failure.exit_code) == (str(error), exit_code)


def test_a_package_that_is_not_installed_is_named_with_what_installs_it() -> None:
    failure = as_failure(ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn"))
    assert failure is not None
    assert str(failure) == "this command needs uvicorn; pip install 'agentfield-rt[all]'"
    assert failure.exit_code is ExitCode.USER


@pytest.mark.parametrize("error", [ModuleNotFoundError(name="agentfield_rt.gone"), KeyError("content")])
def test_our_own_mistakes_are_nobody_s_failure(error: Exception) -> None:
    assert as_failure(error) is None
