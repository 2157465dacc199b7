"""Takes work to an agent over HTTP, as AgentField's control plane does.

An agent answers 202 and reports later (its reasoners do), or answers with the result (its skills do).
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

import msgspec

from agentfield_rt.errors import Reason
from agentfield_rt.plane.egress import (
    Answer,
    BadAnswer,
    Bounds,
    EgressRefused,
    HttpClient,
    NoAnswer,
    Unreachable,
)
from agentfield_rt.plane.executions.dispatch import (
    CapabilityKind,
    Dispatch,
    DispatchInDoubt,
    NodeUnreachable,
    Outcome,
)
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.plane.operation.propagation import trace_headers

log = logging.getLogger(__name__)

ANSWER_MAX_S = 3_600.0
"""How long a skill may take; a reasoner answers at once that it has begun."""

ANSWER_BYTES_MAX = 4 * 1024 * 1024
CANCEL_MAX_S = 5.0

CONNECT_PAUSES_S = (0.1, 0.2, 0.4, 0.8)
"""Between attempts to connect: an agent registers a moment before it listens."""

ERROR_CHARS_MAX = 4_000

_BOUNDS = Bounds(ANSWER_MAX_S, ANSWER_BYTES_MAX)
_CANCEL_BOUNDS = Bounds(CANCEL_MAX_S, ANSWER_BYTES_MAX)
_USAGE_KEY = "__agentfield_usage__"
_PLACES = {CapabilityKind.REASONER: "reasoners", CapabilityKind.SKILL: "skills"}
_REASONS = {
    400: Reason.INVALID_REQUEST,
    401: Reason.UNAUTHORIZED,
    403: Reason.UNAUTHORIZED,
    404: Reason.NOT_FOUND,
    413: Reason.INVALID_REQUEST,
    422: Reason.INVALID_REQUEST,
}
_BUSY = frozenset({429, 503})
"""The agent, or what stands before it, did not begin."""

_IN_DOUBT = frozenset({408, 502, 504})
"""What stands before the agent does not know."""

_NO_ROUTE = {"detail": "Not Found"}
"""Said by the framework under every agent, not by one: several that start at once may take the same port."""

_CANCELLED = 499
"""An agent's word for a skill that was cancelled while it ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpDispatcher:
    """Work for one agent.

    Attributes:
        token: Shown to the agent, if it wants to know who calls.
        unreachable: Called when it takes no connection, so that somebody finds out whether it is there.
    """

    base_url: str
    client: HttpClient
    unreachable: Callable[[], None]
    token: str | None = None

    @property
    def remote(self) -> bool:
        """See `Dispatcher.remote`."""
        return True

    async def dispatch(self, work: Dispatch) -> Outcome | None:
        """See `Dispatcher.dispatch`."""
        url = f"{self.base_url}/{_PLACES[work.kind]}/{quote(work.name, safe='')}"
        try:
            answer = await self._post(url, work.arguments, self._headers(work))
        except ValueError as error:  # an id of the caller's that no header can hold
            return _failed(Reason.INVALID_REQUEST, str(error))
        except BadAnswer as error:
            return _failed(Reason.PROTOCOL, str(error))
        return _outcome(answer)

    async def cancel(self, execution_id: str) -> None:
        """See `Dispatcher.cancel`."""
        url = f"{self.base_url}/_internal/executions/{quote(execution_id, safe='')}/cancel"
        headers = {**self._own_headers(), "X-AgentField-Source": "control-plane"}
        try:
            await self.client.request("POST", url, bounds=_CANCEL_BOUNDS, headers=headers)
        except (EgressRefused, Unreachable, NoAnswer) as error:
            raise NodeUnreachable(str(error)) from None

    async def answer(self, body: bytes) -> None:
        """See `TakesAnswers.answer`."""
        url = f"{self.base_url}/webhooks/approval"
        headers = self._own_headers()
        try:
            answer = await self.client.request("POST", url, bounds=_CANCEL_BOUNDS, body=body, headers=headers)
        except (EgressRefused, Unreachable, NoAnswer) as error:
            raise NodeUnreachable(str(error)) from None
        if not 200 <= answer.status < 300:
            raise NodeUnreachable(f"the agent answered {answer.status}")

    async def _post(self, url: str, arguments: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
        """Post the input; a connection that is not taken is tried for a moment.

        Raises:
            BadAnswer: it has answered with what cannot be taken.
            NodeUnreachable, DispatchInDoubt: see `Dispatcher.dispatch`.
        """
        body = msgspec.json.encode(arguments)
        for pause_s in (*CONNECT_PAUSES_S, None):
            try:
                answer = await self.client.request("POST", url, bounds=_BOUNDS, body=body, headers=headers)
            except EgressRefused as error:
                raise NodeUnreachable(str(error)) from None
            except BadAnswer:
                raise
            except NoAnswer as error:
                self.unreachable()
                raise DispatchInDoubt(str(error)) from None
            except Unreachable as error:
                if pause_s is None:
                    self.unreachable()
                    raise NodeUnreachable(str(error)) from None
                await asyncio.sleep(pause_s)
                continue
            if answer.status in _BUSY:
                raise NodeUnreachable(f"the agent answered {answer.status}: it takes no work now")
            if answer.status in _IN_DOUBT:
                raise DispatchInDoubt(f"the agent, or what stands before it, answered {answer.status}")
            return answer
        raise AssertionError("the last attempt returns or raises")

    def _headers(self, work: Dispatch) -> dict[str, str]:
        """Where the work belongs; what is not known is left out."""
        places = {
            "X-Execution-ID": work.execution_id,
            "X-Run-ID": work.run_id,
            "X-Workflow-ID": work.run_id,
            "X-Parent-Execution-ID": work.parent_execution_id,
            "X-Session-ID": work.session_id,
            "X-Actor-ID": work.actor_id,
        }
        return self._own_headers() | {name: value for name, value in places.items() if value}

    def _own_headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", **trace_headers()}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers


def _outcome(answer: Answer) -> Outcome | None:
    """What the agent's answer says; None: it has begun and will report."""
    if answer.status == 202:
        return None
    if answer.status == _CANCELLED:
        return Outcome(status=ExecutionStatus.CANCELLED, reason=Reason.CANCELLED)
    if 200 <= answer.status < 300:
        return _succeeded(answer)
    if answer.status < 400:
        return _failed(Reason.PROTOCOL, f"the agent answered {answer.status}, a redirect; none is followed")
    return _refused(answer)


def _succeeded(answer: Answer) -> Outcome:
    try:
        result: Any = msgspec.json.decode(answer.body) if answer.body else None
    except msgspec.DecodeError:
        return _failed(Reason.PROTOCOL, f"the agent answered {answer.status} with what is no JSON")
    usage: Any = None
    if isinstance(result, dict):  # it travels with the result, but is none of it
        usage = cast(dict[str, Any], result).pop(_USAGE_KEY, None)
    return Outcome(status=ExecutionStatus.SUCCEEDED, result=result, usage=usage)


def _refused(answer: Answer) -> Outcome:
    """What the agent says of a failure, in FastAPI's form or in any."""
    try:
        body = msgspec.json.decode(answer.body, type=dict[str, Any])
    except msgspec.DecodeError:
        body = {}
    if isinstance(detail := body.get("detail"), dict):  # so the SDK tells of a call of its own that failed
        body = cast(dict[str, Any], detail)
    said = next((body[name] for name in ("detail", "error", "message") if body.get(name)), None)
    text = said if isinstance(said, str) else answer.body.decode(errors="replace")
    if answer.status == 404 and body == _NO_ROUTE:
        text = "Not Found: what listens at the agent's address does not know it; another agent, perhaps"
    error = (text or f"the agent answered {answer.status}")[:ERROR_CHARS_MAX]
    reason = _REASONS.get(answer.status, Reason.HANDLER_ERROR)
    return _failed(reason, error, details=body.get("error_details"))


def _failed(reason: Reason, error: str, *, details: Any = None) -> Outcome:
    return Outcome(status=ExecutionStatus.FAILED, reason=reason, error=error, error_details=details)
