"""What an application author touches: `Agent`, its reasoners, its sessions."""

from agentfield_rt.agent.agent import Agent
from agentfield_rt.agent.context import ExecutionContext
from agentfield_rt.agent.definition import SessionDefinition
from agentfield_rt.agent.reasoner import InvalidInput, Reasoner
from agentfield_rt.agent.router import AgentRouter
from agentfield_rt.agent.session import RealtimeSession, UtteranceHandle
from agentfield_rt.voice.digits import GatheredDigits, GatherEnd

__all__ = [
    "Agent",
    "AgentRouter",
    "ExecutionContext",
    "GatherEnd",
    "GatheredDigits",
    "InvalidInput",
    "RealtimeSession",
    "Reasoner",
    "SessionDefinition",
    "UtteranceHandle",
]
