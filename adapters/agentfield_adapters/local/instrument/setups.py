"""With which scenario and which faults a call runs: said in its address, or the provider's own."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import HTTPConnection

from agentfield_adapters.local.faults.compact import fault_of
from agentfield_adapters.local.faults.fault import Fault, FaultRefused
from agentfield_adapters.local.faults.plan import FaultPlan
from agentfield_adapters.local.protocol.validation import Refusal
from agentfield_adapters.local.scenario.scenario import Scenario

SETUPS_MAX = 10_000
FAULTS_MAX = 100
DEFAULT_NAME = "default"


@dataclass(slots=True, eq=False)
class Setup:
    """What a call runs with.

    Attributes:
        name: In the log, and part of what its ids are drawn from.
        ordinals: Counts its sessions.
    """

    name: str
    scenario: Scenario
    plan: FaultPlan
    seed: int
    ordinals: Iterable[int] = field(default_factory=lambda: itertools.count(1))

    def next_ordinal(self) -> int:
        """Return the number of a new session."""
        return next(iter(self.ordinals))


class Setups:
    """Finds the setup of a request.

    Args:
        seed: The provider's.
        scenarios: By name; the first is every call's unless it names another.
        faults: Of every call that names none, besides its scenario's.
    """

    def __init__(
        self, seed: int, scenarios: dict[str, Scenario] | None = None, faults: Sequence[Fault] = ()
    ) -> None:
        self._seed = seed
        self.scenarios = dict(scenarios or {})
        self._named: OrderedDict[str, Setup] = OrderedDict()
        self._faults = tuple(faults)
        self.default = self._made(DEFAULT_NAME, next(iter(self.scenarios.values()), Scenario()), faults)

    def of(self, connection: HTTPConnection) -> Setup | None:
        """Return the setup that a request's address names, or None when it names none.

        `/with/NAME=VALUE&…/v1/…` is one setup for all requests with that address, so that a fault that
        strikes once strikes once. The same names in the query are a setup of this request alone.

        Raises:
            Refusal: It names a fault or a scenario that there is not.
        """
        segment = connection.path_params.get("setup")
        if segment is not None:
            if (known := self._named.get(segment)) is None:
                known = self._named[segment] = self._parsed(parse_qsl(segment, keep_blank_values=True))
                if len(self._named) > SETUPS_MAX:
                    self._named.popitem(last=False)
            return known
        asked = [pair for pair in connection.query_params.multi_items() if pair[0] in ("fault", "scenario")]
        return self._parsed(asked) if asked else None

    def use(self, *, scenario: Scenario | None = None, faults: Sequence[Fault] | None = None) -> Setup:
        """Replace what calls run with that name nothing; None keeps what there is."""
        self._faults = self._faults if faults is None else tuple(faults)
        self.default.scenario = scenario or self.default.scenario
        self.default.plan = self._plan(self.default.scenario, self._faults)
        return self.default

    def plan_of(self, texts: Iterable[str]) -> FaultPlan:
        """Return a plan of faults written as in an address.

        Raises:
            Refusal: One of them is no fault.
        """
        return self._plan(Scenario(), _faults(texts))

    def _parsed(self, pairs: Iterable[tuple[str, str]]) -> Setup:
        name, scenario = "", self.default.scenario
        texts: list[str] = []
        for key, value in pairs:
            match key:
                case "name":
                    name = value
                case "fault":
                    texts.append(value)
                case "scenario" if value in self.scenarios:
                    scenario = self.scenarios[value]
                case "scenario":
                    known = ", ".join(self.scenarios) or "none"
                    raise Refusal("invalid_value", f"No scenario '{value}'; there are: {known}.", "scenario")
                case _:
                    raise Refusal(
                        "unknown_parameter", f"A setup has name, fault and scenario, no '{key}'.", key
                    )
        return self._made(name or DEFAULT_NAME, scenario, _faults(texts))

    def _made(self, name: str, scenario: Scenario, faults: Sequence[Fault]) -> Setup:
        seed = self._seed if scenario.seed is None else scenario.seed
        return Setup(name, scenario, self._plan(scenario, faults), seed)

    def _plan(self, scenario: Scenario, faults: Sequence[Fault]) -> FaultPlan:
        seed = self._seed if scenario.seed is None else scenario.seed
        own = [fault_of(fault) if isinstance(fault, str) else fault for fault in scenario.faults]
        return FaultPlan([*own, *faults], seed=seed)


def _faults(texts: Iterable[str]) -> list[Fault]:
    try:
        faults = [fault_of(text) for text in texts]
    except FaultRefused as error:
        raise Refusal("invalid_value", f"{error}.", "fault") from None
    if len(faults) > FAULTS_MAX:
        raise Refusal("invalid_value", f"At most {FAULTS_MAX} faults.", "fault")
    return faults


class _Metadata(msgspec.Struct):
    fault: str | None = None


class _WithMetadata(msgspec.Struct):
    metadata: _Metadata | str | None = None
    tracing: _WithMetadata | str | None = None


class _Event(msgspec.Struct):
    session: _WithMetadata | None = None
    response: _WithMetadata | None = None


_events = msgspec.json.Decoder(_Event)


def faults_in_metadata(data: str | bytes) -> Sequence[str]:
    """Return the faults that a client's event asks for, separated by `;`.

    They stand in `session.tracing.metadata.fault` or `response.metadata.fault`.
    """
    if (b"fault" if isinstance(data, bytes) else "fault") not in data:  # type: ignore[operator]  # one kind each
        return ()
    try:
        event = _events.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ()
    holder = event.session.tracing if event.session is not None else event.response
    metadata = holder.metadata if isinstance(holder, _WithMetadata) else None
    asked = metadata.fault if isinstance(metadata, _Metadata) else None
    return [] if asked is None else [text for text in asked.split(";") if text.strip()]
