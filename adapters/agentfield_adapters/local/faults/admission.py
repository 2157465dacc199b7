"""Where faults strike requests: before a websocket is accepted, a call made, an answer begun."""

from __future__ import annotations

import asyncio

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from agentfield_adapters.local.faults.fault import Fault, Knob, Where
from agentfield_adapters.local.faults.plan import FaultPlan
from agentfield_adapters.local.faults.wire import wire_of
from agentfield_adapters.local.problems import problem

HANG_S_MAX = 120.0
NO_ANSWER = 499  # in the log: nobody gets to see it
_CODES = {401: "invalid_api_key", 403: "model_not_found", 404: "not_found", 429: "rate_limit_exceeded"}


async def struck_request(request: Request, plan: FaultPlan, where: Where) -> Response | None:
    """Return the answer that a fault gives instead of ours, or None when none strikes.

    After a reset or a hang the answer, `NO_ANSWER`, goes nowhere.
    """
    fault = plan.at_connect(where)
    return None if fault is None else await _answer(request, fault)


async def struck_upgrade(websocket: WebSocket, plan: FaultPlan, where: Where) -> Response | None:
    """Return how a fault has dealt with the request for a websocket, or None when none strikes it."""
    fault = plan.at_connect(where)
    if fault is None:
        return None
    answer = await _answer(websocket, fault)
    if fault.knob is Knob.STATUS:
        await websocket.send_denial_response(answer)
    return answer


async def _answer(connection: HTTPConnection, fault: Fault) -> Response:
    match fault.knob:
        case Knob.STATUS:
            status = fault.option()
            assert isinstance(status, int)
            answer = problem(status, _CODES.get(status, "server_error"), "This fault was asked for.")
            if fault.retry_after_s is not None:
                answer.headers["Retry-After"] = str(fault.retry_after_s)
            return answer
        case Knob.HANG:
            await _until_gone(connection)
        case _:
            pass
    wire_of(connection).reset()
    return Response(status_code=NO_ANSWER)


async def _until_gone(connection: HTTPConnection) -> None:
    """Wait until the client gives up."""
    assert isinstance(connection, Request | WebSocket)
    try:
        async with asyncio.timeout(HANG_S_MAX):
            while not (await connection.receive())["type"].endswith("disconnect"):
                pass
    except TimeoutError:
        return
