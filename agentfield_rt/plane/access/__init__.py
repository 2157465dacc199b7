"""Who may do what: API keys, session tokens, and the guard that asks every request for one."""

from agentfield_rt.plane.access.caller import Caller, caller_of
from agentfield_rt.plane.access.keys import ApiKeys, require_protection
from agentfield_rt.plane.access.tokens import SessionTokens

__all__ = ["ApiKeys", "Caller", "SessionTokens", "caller_of", "require_protection"]
