"""Refusals over HTTP, in the vendor's JSON shape."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from agentfield_adapters.local.protocol.server_events import ErrorDetail
from agentfield_adapters.local.protocol.validation import Refusal

_encoder = msgspec.json.Encoder()


def problem(status: int, code: str, message: str, param: str | None = None) -> Response:
    """Return an error answer: `{"error": {type, code, message, param}}`."""
    detail = ErrorDetail(type="invalid_request_error", code=code, message=message, param=param)
    return Response(_encoder.encode({"error": detail}), status_code=status, media_type="application/json")


def refused(refusal: Refusal) -> Response:
    """Return a refusal as an answer with status 400."""
    return problem(400, refusal.code, refusal.message, refusal.param)


def unauthorised() -> Response:
    """Return the answer to a request without a key, or with a wrong one."""
    return problem(
        401, "invalid_api_key", "Incorrect API key provided: send an Authorization header with a bearer."
    )


def unknown_call(call_id: str) -> Response:
    """Return the answer to a request about a call that is not going on."""
    return problem(404, "call_id_not_found", f"No call with id '{call_id}' is going on.")
