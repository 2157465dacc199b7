"""Whose fault a failure is and what it means for the session: the provider's codes in our words.

The one place where close codes, HTTP statuses and error codes are classified. The provider's text ends here.
"""

from enum import StrEnum

from agentfield_adapters.openai.server_events import ErrorBody, plain
from agentfield_rt.errors import ConnectionLost, ProviderError, Reason


class Severity(StrEnum):
    """What an error means for the session.

    `benign`: it goes on; what was refused was so already, or is told to whoever asked. `retry`: the same, and
    the same request may succeed later. `planned`: the connection has had its time, and a new one goes on.
    `fatal`: no connection will do better.
    """

    BENIGN = "benign"
    RETRY = "retry"
    PLANNED = "planned"
    FATAL = "fatal"


CODES: dict[str, tuple[Severity, Reason]] = {
    "conversation_already_has_active_response": (Severity.BENIGN, Reason.INVALID_REQUEST),
    "response_cancel_not_active": (Severity.BENIGN, Reason.INVALID_REQUEST),
    "input_audio_buffer_commit_empty": (Severity.BENIGN, Reason.INVALID_REQUEST),
    "item_already_shorter": (Severity.BENIGN, Reason.INVALID_REQUEST),
    "unsupported_content_type": (Severity.BENIGN, Reason.INVALID_REQUEST),
    "item_truncate_invalid_item_id": (Severity.BENIGN, Reason.NOT_FOUND),
    "item_delete_invalid_item_id": (Severity.BENIGN, Reason.NOT_FOUND),
    "inference_rate_limit_exceeded": (Severity.RETRY, Reason.RATE_LIMITED),
    "rate_limit_exceeded": (Severity.RETRY, Reason.RATE_LIMITED),
    "server_error": (Severity.RETRY, Reason.UNAVAILABLE),
    "session_expired": (Severity.PLANNED, Reason.SESSION_EXPIRED),
    "invalid_api_key": (Severity.FATAL, Reason.UNAUTHORIZED),
    "account_deactivated": (Severity.FATAL, Reason.UNAUTHORIZED),
    "insufficient_quota": (Severity.FATAL, Reason.NOT_ALLOWED),
    "billing_hard_limit_reached": (Severity.FATAL, Reason.NOT_ALLOWED),
    "beta_api_shape_disabled": (Severity.FATAL, Reason.INVALID_REQUEST),
}
"""Errors whose meaning is known (OpenAI Realtime: `error.code`). Any other is benign: most are, and a session
that ends for one of them cannot be had back."""

_UNNAMED_ERRORS = {"already shorter than": "item_already_shorter"}
_ALREADY_EXISTS = "already exists"

_STATUS_REASONS = {
    401: Reason.UNAUTHORIZED,
    403: Reason.NOT_ALLOWED,
    404: Reason.NOT_FOUND,
    408: Reason.TIMEOUT,
    429: Reason.RATE_LIMITED,
}
# A gateway that gives up says nothing about what the server behind it did.
_AMBIGUOUS_STATUSES = frozenset({502, 504})

_CLOSE_REASONS = {
    1000: (Reason.CONNECTION_LOST, True),
    1001: (Reason.UNAVAILABLE, True),
    1002: (Reason.PROTOCOL, False),
    1003: (Reason.PROTOCOL, False),
    1007: (Reason.PROTOCOL, False),
    1008: (Reason.NOT_ALLOWED, False),
    1009: (Reason.PROTOCOL, False),
    1011: (Reason.UNAVAILABLE, True),
    1012: (Reason.UNAVAILABLE, True),
    1013: (Reason.UNAVAILABLE, True),
}
_REFUSED_AFTER_UPGRADE = 3000


def error_code(error: ErrorBody) -> str:
    """The code of an error, also of those the provider only describes."""
    if _ALREADY_EXISTS in error.message and error.code in (None, "invalid_value"):
        return "item_already_exists"
    if error.code is None:
        for text, code in _UNNAMED_ERRORS.items():
            if text in error.message:
                return code
    return plain(error.code)


def fatal(code: str) -> ConnectionLost | None:
    """What an error event ends, if it is one of the few that end the connection; None for all others."""
    match CODES.get(code):
        case (Severity.PLANNED, _):
            return _expired()
        case (Severity.FATAL, reason):
            return ConnectionLost(f"the provider ended the session: {code}", reason=reason, retryable=False)
        case _:
            return None


def reason_of(code: str | None) -> Reason | None:
    """Why something came to nothing, in our words; None for a code that is not known."""
    known = CODES.get(code or "")
    return None if known is None else known[1]


def _expired() -> ConnectionLost:
    return ConnectionLost("the provider's session reached its maximum age", reason=Reason.SESSION_EXPIRED)


def closed(code: int | None, reason: str) -> ConnectionLost:
    """What the end of a socket means; `code` is None when no close frame came."""
    if code is None:
        return ConnectionLost("the provider's connection broke without a close frame")
    if code == 1001 and "60 min" in reason.lower():
        return _expired()
    if code == _REFUSED_AFTER_UPGRADE:
        # The reason is the error's type and code with a dot between them.
        return fatal(reason.rpartition(".")[2]) or ConnectionLost(
            f"the provider refused the session (close code {code})",
            reason=Reason.INVALID_REQUEST,
            retryable=False,
        )
    kind, retryable = _CLOSE_REASONS.get(code, (Reason.CONNECTION_LOST, True))
    return ConnectionLost(
        f"the provider closed the connection (close code {code})", reason=kind, retryable=retryable
    )


def refused(status: int, *, doing: str) -> ProviderError:
    """What an HTTP status other than the expected one means; `doing` completes "… while"."""
    if 400 <= status < 500:
        reason = _STATUS_REASONS.get(status, Reason.INVALID_REQUEST)
    else:
        reason = Reason.UNAVAILABLE if status >= 500 else Reason.PROTOCOL
    return ProviderError(
        f"the provider answered HTTP {status} while {doing}{_ADVICE.get(status, '')}",
        reason=reason,
        retryable=reason in (Reason.RATE_LIMITED, Reason.TIMEOUT, Reason.UNAVAILABLE),
        not_done=status not in _AMBIGUOUS_STATUSES,
    )


_ADVICE = {
    401: ": check the API key",
    403: ": this key may not use that model or feature",
    404: ": check the base URL, the model and the call",
    429: ": wait, or ask for a higher limit",
}
