"""What an application author touches: `Agent`, its reasoners, its sessions."""

from agentfield_rt.agent.agent import Agent, ExecutionContext, SessionDefinition
from agentfield_rt.agent.reasoner import InvalidInput, Reasoner
from agentfield_rt.agent.session import RealtimeSession, UtteranceHandle

__all__ = [
    "Agent",
    "ExecutionContext",
    "InvalidInput",
    "RealtimeSession",
    "Reasoner",
    "SessionDefinition",
    "UtteranceHandle",
]
