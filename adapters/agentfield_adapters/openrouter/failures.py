"""What an HTTP status or an error in the middle of a stream means. The provider's own text ends here."""

import email.utils
import time
from datetime import UTC
from typing import cast

from agentfield_rt.errors import ProviderError, Reason

RETRY_AFTER_S_MAX = 60.0

_STATUS_REASONS = {
    401: Reason.UNAUTHORIZED,
    402: Reason.NOT_ALLOWED,
    403: Reason.NOT_ALLOWED,
    404: Reason.NOT_FOUND,
    408: Reason.TIMEOUT,
    429: Reason.RATE_LIMITED,
}
_CODE_STATUSES = {
    "invalid_api_key": 401,
    "insufficient_quota": 402,
    "model_not_found": 404,
    "rate_limit_exceeded": 429,
    "server_error": 500,
}
# Whoever gives up waiting says nothing about what the server behind it did.
_AMBIGUOUS_STATUSES = frozenset({408, 502, 504})
# Nothing that is asked later could succeed: the key is wrong, or nobody pays.
_FATAL_STATUSES = frozenset({401, 402})
_RETRYABLE = (Reason.RATE_LIMITED, Reason.TIMEOUT, Reason.UNAVAILABLE)
_ADVICE = {
    401: ": check the API key",
    402: ": the account has no credit left",
    403: ": this key may not use that model, or the input was refused",
    404: ": check the base URL and the model",
    413: ": the conversation is too long for this model",
    429: ": wait, or ask for a higher limit",
}


class TurnFailed(ProviderError):
    """A request that came to nothing.

    Attributes:
        retry_after_s: How long the provider wants to be left alone; 0 if it did not say.
        is_fatal: No later request could do better.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: Reason,
        not_done: bool,
        retry_after_s: float = 0.0,
        is_fatal: bool = False,
    ) -> None:
        super().__init__(message, reason=reason, retryable=reason in _RETRYABLE, not_done=not_done)
        self.retry_after_s = retry_after_s
        self.is_fatal = is_fatal


def refused(status: int, *, retry_after: str | None = None) -> TurnFailed:
    """What an HTTP status other than 200 means; `retry_after` is the header of that name."""
    return TurnFailed(
        f"the provider answered HTTP {status}{_ADVICE.get(status, '')}",
        reason=_reason(status),
        not_done=status not in _AMBIGUOUS_STATUSES,
        retry_after_s=_seconds(retry_after) if status in (429, 503) else 0.0,
        is_fatal=status in _FATAL_STATUSES,
    )


def broken_off(error: object) -> TurnFailed:
    """What an `error` inside a stream means: the answer began, so it was done in part."""
    status = _status(error)
    named = f" (code {status})" if status is not None else ""
    return TurnFailed(
        f"the provider broke its answer off{named}",
        reason=Reason.UNAVAILABLE if status is None else _reason(status),
        not_done=False,
        is_fatal=status in _FATAL_STATUSES,
    )


def _reason(status: int) -> Reason:
    if 400 <= status < 500:
        return _STATUS_REASONS.get(status, Reason.INVALID_REQUEST)
    return Reason.UNAVAILABLE if status >= 500 else Reason.PROTOCOL


def _status(error: object) -> int | None:
    """The code of an error, which is a status, digits, or one of a few names; None for any other."""
    said = cast("dict[str, object]", error) if isinstance(error, dict) else {}
    for code in (said.get("code"), said.get("type")):
        status = _CODE_STATUSES.get(code) if isinstance(code, str) else code
        if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) == 3:
            status = int(code)
        if isinstance(status, int) and 400 <= status < 600:
            return status
    return None


def _seconds(header: str | None) -> float:
    """`Retry-After`, which is seconds or a date, within bounds."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:6]), RETRY_AFTER_S_MAX)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return 0.0
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return min(max(at.timestamp() - time.time(), 0.0), RETRY_AFTER_S_MAX)
