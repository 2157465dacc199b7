"""A provider that does what a script says: for tests, first steps and whoever writes an adapter."""

from agentfield_adapters.scripted.adapter import Answer, ScriptedAdapter, echo, silent
from agentfield_adapters.scripted.calls import Call, Hold, Interruption, Method, Outcome

__all__ = ["Answer", "Call", "Hold", "Interruption", "Method", "Outcome", "ScriptedAdapter", "echo", "silent"]
