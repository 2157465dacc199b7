"""What ends a command without success: one line for a person, one exit code for a script."""

from enum import IntEnum

import msgspec

from agentfield_journal import JournalConflict, JournalError, UnknownVersion
from agentfield_rt.errors import IllegalCommand, RealtimeError, UnsupportedTransport
from agentfield_rt.plane.errors import PlaneError


class ExitCode(IntEnum):
    """What a script may rely on."""

    OK = 0
    UNSOUND = 1
    """`af journal verify` did its work, and the journal is not what was written."""
    USER = 2
    """The user's fault, HTTP 4xx."""
    SERVER = 3
    """The server's or the machine's fault: HTTP 401, 403, 5xx, no connection, an answer that is none."""
    INTERRUPTED = 130
    PIPE_CLOSED = 141
    """Whoever reads has seen enough (`af … | head`); what a shell says of other tools then."""


class Failure(Exception):
    """A command cannot go on; the message says whose fault it is and what would work."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.USER) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def exit_code_of_status(status: int) -> ExitCode:
    """AgentField's rule for an HTTP status that is no success."""
    if 400 <= status < 500 and status not in (401, 403):
        return ExitCode.USER
    return ExitCode.SERVER


def as_failure(error: Exception) -> Failure | None:
    """An error of the runtime or the journal as a failure; None for one that nobody foresaw."""
    match error:
        case Failure():
            return error
        case IllegalCommand() | UnsupportedTransport() | JournalConflict() | UnknownVersion():
            return Failure(str(error))
        case PlaneError():
            return Failure(str(error), exit_code_of_status(error.status))
        case ModuleNotFoundError(name=str(module)) if not module.startswith("agentfield"):
            return Failure(f"this command needs {module}; pip install 'agentfield-rt[all]'")
        case RealtimeError() | JournalError() | OSError() | msgspec.MsgspecError():
            return Failure(str(error), ExitCode.SERVER)
        case _:
            return None
