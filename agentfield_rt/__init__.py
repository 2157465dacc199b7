"""Event-sourced runtime for realtime voice sessions.

Names are imported when they are first asked for: pytest loads this package in every run of every host.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentfield_rt.agent import Agent, AgentRouter, RealtimeSession, UtteranceHandle
    from agentfield_rt.controller import RealtimeSessionController
    from agentfield_rt.errors import (
        CloseReason,
        ConnectionLost,
        ExecutionFailed,
        GateOverflow,
        IllegalCommand,
        ProviderError,
        RealtimeError,
        Reason,
        RepairNeeded,
        ReplayMismatch,
        RunIncomplete,
        SessionClosed,
        TooManyTurns,
        UnsupportedTransport,
    )
    from agentfield_rt.run import Run
    from agentfield_rt.runtime import RealtimeRuntime
    from agentfield_rt.voice.digits import GatheredDigits, GatherEnd
    from agentfield_rt.voice.link import Turn, UtteranceState

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "AgentRouter",
    "CloseReason",
    "ConnectionLost",
    "ExecutionFailed",
    "GateOverflow",
    "GatherEnd",
    "GatheredDigits",
    "IllegalCommand",
    "ProviderError",
    "RealtimeError",
    "RealtimeRuntime",
    "RealtimeSession",
    "RealtimeSessionController",
    "Reason",
    "RepairNeeded",
    "ReplayMismatch",
    "Run",
    "RunIncomplete",
    "SessionClosed",
    "TooManyTurns",
    "Turn",
    "UnsupportedTransport",
    "UtteranceHandle",
    "UtteranceState",
]

_HOMES = {
    "Agent": "agent",
    "AgentRouter": "agent",
    "GatherEnd": "voice.digits",
    "GatheredDigits": "voice.digits",
    "RealtimeRuntime": "runtime",
    "RealtimeSession": "agent",
    "RealtimeSessionController": "controller",
    "Run": "run",
    "Turn": "voice.link",
    "UtteranceHandle": "agent",
    "UtteranceState": "voice.link",
}
"""Where an exported name is at home; all others are errors."""

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent until whoever runs it configures logs

if not TYPE_CHECKING:  # a checker would take any name at all for exported

    def __getattr__(name: str) -> object:
        """Import an exported name, once."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            home = import_module(f"{__name__}.{_HOMES.get(name, 'errors')}")
        except ModuleNotFoundError as missing:  # it is in one of the extras
            needs = f"{name} needs {missing.name}; pip install 'agentfield-rt[all]'"
            raise ModuleNotFoundError(needs, name=missing.name) from None
        value = getattr(home, name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
