"""The admin endpoint: faults, scenarios and the log, for whoever runs the provider, on this machine alone."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentfield_adapters.local.access import offered_key
from agentfield_adapters.local.faults.compact import checked_fault
from agentfield_adapters.local.faults.fault import Fault, FaultRefused
from agentfield_adapters.local.faults.plan import FaultPlan
from agentfield_adapters.local.instrument.log import Log
from agentfield_adapters.local.instrument.setups import Setups
from agentfield_adapters.local.problems import problem
from agentfield_adapters.local.scenario.reading import FILE_CHARACTERS_MAX, ScenarioRefused, scenario_of

_FILTERS = frozenset({"connection", "setup", "where", "what", "type", "call_id"})
Answering = Callable[[Request], Awaitable[Response]]


class Admin:
    """The routes under `/admin`.

    Args:
        token: The bearer that lets in.
        on_faults: Called with the new plan when faults are set, for the connections that are open.
    """

    def __init__(
        self, token: str, setups: Setups, log: Log, *, on_faults: Callable[[FaultPlan], None]
    ) -> None:
        self._token = token
        self._setups = setups
        self._log = log
        self._on_faults = on_faults

    def routes(self, *more: tuple[str, str, Answering]) -> Sequence[Route]:
        """Return the routes, and `more` behind the same guard: method, path, who answers."""
        routes: list[tuple[str, str, Answering]] = [
            ("GET", "/admin/log", self.log),
            ("DELETE", "/admin/log", self.clear_log),
            ("GET", "/admin/faults", self.faults),
            ("PUT", "/admin/faults", self.set_faults),
            ("DELETE", "/admin/faults", self.clear_faults),
            ("PUT", "/admin/scenario", self.set_scenario),
            ("PUT", "/admin/scenarios/{name}", self.add_scenario),
            *more,
        ]
        return [Route(path, self._guarded(answer), methods=[method]) for method, path, answer in routes]

    async def log(self, request: Request) -> Response:
        """`GET /admin/log?what=received&type=…`: the entries whose fields have these values."""
        unknown = set(request.query_params) - _FILTERS
        if unknown:
            return problem(400, "unknown_parameter", f"The log is filtered by {', '.join(sorted(_FILTERS))}.")
        return JSONResponse({"entries": self._log.entries(**request.query_params)})

    async def clear_log(self, request: Request) -> Response:
        """`DELETE /admin/log`: forget what was logged."""
        self._log.clear()
        return Response(status_code=204)

    async def faults(self, request: Request) -> Response:
        """`GET /admin/faults`: the faults of calls that name none, and how often each has struck."""
        plan = self._setups.default.plan
        told = [
            {**msgspec.to_builtins(fault), "struck": struck}
            for fault, struck in zip(plan.faults, plan.struck, strict=True)
        ]
        return JSONResponse({"faults": told})

    async def set_faults(self, request: Request) -> Response:
        """`PUT /admin/faults`: a JSON list; from now on, on open connections too."""
        try:
            asked = msgspec.json.decode(await request.body(), type=list[object])
            faults = [checked_fault(fault) for fault in asked]
        except msgspec.MsgspecError:
            return problem(400, "invalid_json", "Send a JSON list of faults.")
        except FaultRefused as error:
            return problem(400, "invalid_value", f"{error}.", "faults")
        return self._use_faults(faults)

    async def clear_faults(self, request: Request) -> Response:
        """`DELETE /admin/faults`: nothing breaks any more."""
        return self._use_faults([])

    async def set_scenario(self, request: Request) -> Response:
        """`PUT /admin/scenario`: YAML; for calls from now on that name none."""
        return await self._take_scenario(request, None)

    async def add_scenario(self, request: Request) -> Response:
        """`PUT /admin/scenarios/{name}`: YAML; for calls that name it."""
        return await self._take_scenario(request, str(request.path_params["name"]))

    def _use_faults(self, faults: Sequence[Fault]) -> Response:
        self._on_faults(self._setups.use(faults=faults).plan)
        return Response(status_code=204)

    async def _take_scenario(self, request: Request, name: str | None) -> Response:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > FILE_CHARACTERS_MAX:
                return problem(413, "body_too_large", f"A scenario has at most {FILE_CHARACTERS_MAX} bytes.")
        try:
            scenario = scenario_of(body.decode())
        except (ScenarioRefused, UnicodeDecodeError) as error:
            return problem(400, "invalid_value", str(error), "scenario")
        if name is None:
            self._setups.use(scenario=scenario)
        else:
            self._setups.scenarios[name] = scenario
        return Response(status_code=204)

    def _guarded(self, answer: Answering) -> Answering:
        async def guarded(request: Request) -> Response:
            if not _is_local(request):
                return problem(403, "not_local", "The admin endpoint answers this machine alone.")
            if not hmac.compare_digest(offered_key(request).encode(), self._token.encode()):
                return problem(401, "invalid_admin_token", "Send the admin token as bearer.")
            return await answer(request)

        return guarded


def _is_local(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
