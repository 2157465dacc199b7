"""Errors as they go over the channel, and back: what is raised there is raised here."""

from collections.abc import Callable

from agentfield_journal import JournalError
from agentfield_rt.channel.shapes import Failure, Fault
from agentfield_rt.errors import (
    ExecutionFailed,
    IllegalCommand,
    ProviderError,
    RealtimeError,
    Reason,
    RepairNeeded,
    SessionClosed,
    UnsupportedTransport,
)

ERROR_CHARS_MAX = 4_000
"""Of what an execution says of its failure; the whole of it is with the execution."""

_FAULTS: tuple[tuple[type[Exception], Fault], ...] = (
    (ExecutionFailed, Fault.EXECUTION),
    (ProviderError, Fault.PROVIDER),
    (RepairNeeded, Fault.REPAIR),
    (SessionClosed, Fault.CLOSED),
    (UnsupportedTransport, Fault.UNSUPPORTED),
    (IllegalCommand, Fault.ILLEGAL),
    (ValueError, Fault.INVALID),
    (RealtimeError, Fault.INTERNAL),
    (JournalError, Fault.INTERNAL),
)


def failure_of(error: Exception) -> Failure:
    """How a request's error is told to whoever made the request."""
    fault = next((fault for kind, fault in _FAULTS if isinstance(error, kind)), None)
    if fault is None:  # nobody foresaw it, so nobody knows what its text holds
        return Failure(fault=Fault.INTERNAL, message=type(error).__name__, reason=Reason.INTERNAL)
    reason: Reason | None = None
    ids: tuple[str, ...] = ()
    not_done, said = True, None
    if isinstance(error, ExecutionFailed):
        reason, ids = error.reason, (error.execution_id,) if error.execution_id else ()
        said = error.error and error.error[:ERROR_CHARS_MAX]
    elif isinstance(error, ProviderError):
        reason, not_done = error.reason, error.not_done
    elif isinstance(error, RepairNeeded):
        ids = error.op_ids
    return Failure(fault=fault, message=str(error), reason=reason, ids=ids, not_done=not_done, error=said)


def error_of(failure: Failure) -> Exception:
    """What to raise for a failure that was told."""
    make = _ERRORS.get(failure.fault)
    return RealtimeError(failure.message) if make is None else make(failure)


def _execution(failure: Failure) -> Exception:
    return ExecutionFailed(
        failure.message,
        execution_id=failure.ids[0] if failure.ids else None,
        reason=failure.reason or Reason.INTERNAL,
        error=failure.error,
    )


def _provider(failure: Failure) -> Exception:
    return ProviderError(
        failure.message, reason=failure.reason or Reason.UNAVAILABLE, not_done=failure.not_done
    )


_ERRORS: dict[Fault, Callable[[Failure], Exception]] = {
    Fault.EXECUTION: _execution,
    Fault.PROVIDER: _provider,
    Fault.REPAIR: lambda failure: RepairNeeded(failure.message, op_ids=failure.ids),
    Fault.CLOSED: lambda failure: SessionClosed(failure.message),
    Fault.UNSUPPORTED: lambda failure: UnsupportedTransport(failure.message),
    Fault.ILLEGAL: lambda failure: IllegalCommand(failure.message),
    Fault.INVALID: lambda failure: ValueError(failure.message),
}
