"""Sessions of this plane: what they may do, who may use them, when they end."""

from agentfield_rt.plane.sessions.sessions import Sessions
from agentfield_rt.plane.sessions.specs import StartRequest

__all__ = ["Sessions", "StartRequest"]
