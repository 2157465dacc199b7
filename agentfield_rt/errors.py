"""What can go wrong, and whose fault it is. Journal errors live in `agentfield_journal`."""

from enum import StrEnum


class Reason(StrEnum):
    """Why an operation did not succeed: the only words about a failure that reach the journal."""

    AGENT_RESTART_ORPHANED = "agent_restart_orphaned"
    CANCELLED = "cancelled"
    CONNECTION_LOST = "connection_lost"
    HANDLER_ERROR = "handler_error"
    INTERNAL = "internal"
    INVALID_REQUEST = "invalid_request"
    NOT_ALLOWED = "not_allowed"
    NOT_FOUND = "not_found"
    OVERFLOW = "overflow"
    PROCESS_LOST = "process_lost"
    PROTOCOL = "protocol"
    RATE_LIMITED = "rate_limited"
    SESSION_EXPIRED = "session_expired"
    SUPERSEDED = "superseded"
    TAMPERED = "tampered"
    TIMEOUT = "timeout"
    UNAUTHORIZED = "unauthorized"
    UNAVAILABLE = "unavailable"


class CloseReason(StrEnum):
    """Why a session ended."""

    NORMAL = "normal"
    CALLER_GONE = "caller_gone"
    CANCEL = "cancel"
    PROVIDER_FAILURE = "provider_failure"
    HANDLER_FAILURE = "handler_failure"
    INTERNAL = "internal"
    POLICY_DENIAL = "policy_denial"
    SHUTDOWN = "shutdown"
    TAMPERED = "tampered"
    DETACH = "host_owned_detach"
    EXPIRED = "expired"


class RealtimeError(Exception):
    """Base of every error the runtime raises on purpose."""


class IllegalCommand(RealtimeError):
    """The caller's fault: the session's phase does not allow this. Nothing journaled, state unchanged."""


class UnsupportedTransport(RealtimeError):
    """No adapter for this provider and transport; the message says which pairs would work."""


class ProviderError(RealtimeError):
    """The provider's or the network's fault; journaled as the operation's outcome.

    Args:
        message: For a person; never the provider's own text, which may hold content or keys.
        reason: The code that is journaled.
        retryable: Whether the same call may succeed later.
        not_done: The call certainly had no effect. Otherwise its outcome is unknown.
    """

    def __init__(
        self, message: str, *, reason: Reason, retryable: bool = False, not_done: bool = True
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retryable = retryable
        self.not_done = not_done


class ConnectionLost(ProviderError):
    """The provider connection is gone; what was in flight has an unknown outcome."""

    def __init__(
        self, message: str, *, reason: Reason = Reason.CONNECTION_LOST, retryable: bool = True
    ) -> None:
        super().__init__(message, reason=reason, retryable=retryable, not_done=False)


class GateOverflow(RealtimeError):
    """Too many frames wait for the provider; this one was not taken. Send it later, or less."""


class TooManyTurns(RealtimeError):
    """As many turns wait for the handler as may; this one was not taken. Give it later."""


class RestartBudgetSpent(IllegalCommand):
    """The provider connection was replaced as often as this session may; it can only be closed."""


class RepairNeeded(RealtimeError):
    """An operation's outcome is unknown; reconcile it before going on."""

    def __init__(self, message: str, *, op_ids: tuple[str, ...]) -> None:
        super().__init__(message)
        self.op_ids = op_ids


class RunIncomplete(RealtimeError):
    """The completion gate refuses; `unmet` names the conditions that do not hold yet."""

    def __init__(self, message: str, *, unmet: tuple[str, ...]) -> None:
        super().__init__(message)
        self.unmet = unmet


class RecordingUnavailable(RealtimeError):
    """A call that is to be recorded cannot be: what records is not installed, or does not hear both sides."""


class ReplayMismatch(RealtimeError):
    """The journal contradicts the lifecycle table: it is corrupt, or this is our bug."""


class SessionClosed(RealtimeError):
    """The session is over; nothing more can be said or heard in it."""


class ExecutionFailed(RealtimeError):
    """A reasoner raised, was cancelled or does not exist.

    Attributes:
        error: What it said of that itself: content, for whoever called it, so not in the message.
    """

    def __init__(
        self, message: str, *, execution_id: str | None, reason: Reason, error: str | None = None
    ) -> None:
        super().__init__(message)
        self.execution_id = execution_id
        self.reason = reason
        self.error = error
