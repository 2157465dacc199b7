"""Stream rules: what to watch for in a session's text as it streams, and what to do about it.

Declare them with `Agent.watch`. `RuleStream` is the engine by itself: pure, for text of your own.
"""

from agentfield_rt.core.records.rules import Channel, Refusal, Repeat, Scope
from agentfield_rt.core.rules.history import RulesState, rules_state
from agentfield_rt.core.rules.repeat import RepeatKey, RepeatKeys
from agentfield_rt.core.rules.rule import (
    Abort,
    AbortAndRetry,
    Drop,
    Emit,
    Inject,
    Literal,
    Marker,
    Mask,
    Message,
    PauseForApproval,
    Regex,
    Rule,
)
from agentfield_rt.core.rules.ruleset import RuleSet, compile_rules
from agentfield_rt.core.rules.stream import Finding, Passed, RuleStream, StreamSnapshot, StreamStatus
from agentfield_rt.core.rules.syntax import RefusedRule

__all__ = [
    "Abort",
    "AbortAndRetry",
    "Channel",
    "Drop",
    "Emit",
    "Finding",
    "Inject",
    "Literal",
    "Marker",
    "Mask",
    "Message",
    "Passed",
    "PauseForApproval",
    "Refusal",
    "RefusedRule",
    "Regex",
    "Repeat",
    "RepeatKey",
    "RepeatKeys",
    "Rule",
    "RuleSet",
    "RuleStream",
    "RulesState",
    "Scope",
    "StreamSnapshot",
    "StreamStatus",
    "compile_rules",
    "rules_state",
]
