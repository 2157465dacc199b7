"""What our sessions declare beyond AgentField's: as JSON in a registration, and back at the plane."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import msgspec

from agentfield_rt.agent.definition import SessionDefinition
from agentfield_rt.approval_rules import ApprovalRule
from agentfield_rt.core.records.rules import Channel, Repeat, Scope
from agentfield_rt.core.rules.rule import (
    Abort,
    AbortAndRetry,
    Action,
    Drop,
    Emit,
    Inject,
    Literal,
    Marker,
    Mask,
    Matcher,
    PauseForApproval,
    Regex,
    Rule,
)
from agentfield_rt.errors import RealtimeError

OURS = "agentfield_rt"
"""The member of a session in `metadata.custom.sessions` that holds it."""

_MATCHERS: dict[str, type[Any]] = {kind.kind: kind for kind in (Literal, Regex, Marker)}
_ACTIONS: dict[str, type[Any]] = {
    kind.kind: kind for kind in (Mask, Drop, Abort, AbortAndRetry, PauseForApproval, Inject, Emit)
}


class _Approval(msgspec.Struct, frozen=True):
    target: str
    expires_after_s: float
    for_session: bool


class _Rule(msgspec.Struct, frozen=True):
    id: str
    version: int
    matcher: dict[str, Any]
    action: dict[str, Any]
    channels: tuple[Channel, ...]
    scope: Scope
    repeat: Repeat
    window_chars: int


class _Declared(msgspec.Struct, frozen=True, omit_defaults=True):
    instructions: str = ""
    phrases: tuple[str, ...] = ()
    rules: dict[str, str] = {}
    apology: str | None = None
    recorded: bool = False
    approvals: tuple[_Approval, ...] = ()
    stream_rules: tuple[_Rule, ...] = ()


def declared(definition: SessionDefinition) -> dict[str, Any]:
    """As JSON.

    Raises:
        RealtimeError: it declares what only a plane in the same process can do.
    """
    for approval in definition.approvals:
        if approval.approver is not None:
            raise RealtimeError(
                f"session {definition.name!r} asks a function to approve {approval.target}, which a control "
                "plane elsewhere cannot; leave the approver out and answer over HTTP"
            )
    config = definition.config
    ours: dict[str, Any] = msgspec.to_builtins(
        _Declared(
            instructions=config.instructions,
            phrases=config.phrases,
            rules=dict(config.rules),
            apology=definition.apology,
            recorded=definition.recorded,
            approvals=tuple(
                _Approval(rule.target, rule.expires_after_s, rule.for_session)
                for rule in definition.approvals
            ),
            stream_rules=tuple(_written(rule) for rule in definition.stream_rules),
        )
    )
    return ours


def with_declared(definition: SessionDefinition, ours: Mapping[str, Any]) -> SessionDefinition:
    """What AgentField's members say of a session, and beside them ours.

    Raises:
        ValueError: they are not as `declared` writes them.
    """
    given = msgspec.convert(ours, _Declared, strict=False)
    return replace(
        definition,
        config=replace(
            definition.config,
            instructions=given.instructions,
            phrases=given.phrases,
            rules=given.rules,
            create_response=False,  # the handler answers
        ),
        apology=given.apology,
        recorded=given.recorded,
        approvals=tuple(
            ApprovalRule(
                approval.target,
                expires_after_s=approval.expires_after_s,
                for_session=approval.for_session,
            )
            for approval in given.approvals
        ),
        stream_rules=tuple(_read(rule) for rule in given.stream_rules),
    )


def _written(rule: Rule) -> _Rule:
    return _Rule(
        id=rule.id,
        version=rule.version,
        matcher={"kind": rule.matcher.kind, **asdict(rule.matcher)},
        action={"kind": rule.action.kind, **asdict(rule.action)},
        channels=rule.channels,
        scope=rule.scope,
        repeat=rule.repeat,
        window_chars=rule.window_chars,
    )


def _read(rule: _Rule) -> Rule:
    matcher: Matcher = _part(rule.matcher, _MATCHERS)
    action: Action = _part(rule.action, _ACTIONS)
    return Rule(
        id=rule.id,
        version=rule.version,
        matcher=matcher,
        action=action,
        channels=rule.channels,
        scope=rule.scope,
        repeat=rule.repeat,
        window_chars=rule.window_chars,
    )


def _part(given: dict[str, Any], kinds: Mapping[str, type[Any]]) -> Any:
    kind = kinds.get(given.get("kind", ""))
    if kind is None:
        raise ValueError(f"a stream rule's part is one of {', '.join(kinds)}")
    return msgspec.convert({name: value for name, value in given.items() if name != "kind"}, kind)
