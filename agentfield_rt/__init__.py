"""Event-sourced runtime for realtime voice sessions."""

from agentfield_rt.agent import Agent, RealtimeSession, UtteranceHandle
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
    UnsupportedTransport,
)
from agentfield_rt.run import Run
from agentfield_rt.voice.link import Turn, UtteranceState

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "CloseReason",
    "ConnectionLost",
    "ExecutionFailed",
    "GateOverflow",
    "IllegalCommand",
    "ProviderError",
    "RealtimeError",
    "RealtimeSession",
    "RealtimeSessionController",
    "Reason",
    "RepairNeeded",
    "ReplayMismatch",
    "Run",
    "RunIncomplete",
    "SessionClosed",
    "Turn",
    "UnsupportedTransport",
    "UtteranceHandle",
    "UtteranceState",
]
