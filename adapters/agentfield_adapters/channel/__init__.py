"""Connects an agent to a control plane elsewhere (`agentfield_rt.channel`)."""

from agentfield_adapters.channel.dialing import dial

__all__ = ["dial"]
