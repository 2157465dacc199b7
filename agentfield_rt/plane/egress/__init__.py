"""Requests of the plane's own: to agents and to webhooks, whose addresses somebody else chose.

Nothing is reached but this machine and what the operator lists; nothing is followed; everything is bounded.
"""

from agentfield_rt.plane.egress.client import Answer, Bounds, HttpClient
from agentfield_rt.plane.egress.failures import (
    BadAnswer,
    EgressError,
    EgressRefused,
    MalformedAddress,
    NoAnswer,
    Unreachable,
)
from agentfield_rt.plane.egress.policy import Address, EgressPolicy, parse_address

__all__ = [
    "Address",
    "Answer",
    "BadAnswer",
    "Bounds",
    "EgressError",
    "EgressPolicy",
    "EgressRefused",
    "HttpClient",
    "MalformedAddress",
    "NoAnswer",
    "Unreachable",
    "parse_address",
]
