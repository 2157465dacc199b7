"""A session as it was declared."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentfield_rt.agent.context import CURRENT, ExecutionContext
from agentfield_rt.agent.session import RealtimeSession
from agentfield_rt.approval_rules import ApprovalRule
from agentfield_rt.core.rules.rule import Rule
from agentfield_rt.errors import IllegalCommand
from agentfield_rt.ports import SessionConfig
from agentfield_rt.voice.link import Handler, SessionLink

SessionFunction = Callable[[RealtimeSession], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDefinition:
    """A session as it was declared: what the provider is told, what its model may call, who handles it.

    Attributes:
        function: Handles it; None where it was declared in another process.
    """

    name: str
    provider: str
    transport: str
    config: SessionConfig
    tools: tuple[str, ...] = ()
    approvals: tuple[ApprovalRule, ...] = ()
    stream_rules: tuple[Rule, ...] = ()
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    apology: str | None = None
    recorded: bool = False
    function: SessionFunction | None = None

    def handler(self) -> Handler:
        """Runs the function once for a session.

        Raises:
            IllegalCommand: it was declared in another process.
        """
        function = self.function
        if function is None:
            raise IllegalCommand(f"session {self.name!r} has no handler in this process")

        async def handle(link: SessionLink) -> None:
            context = ExecutionContext(link.run_id, session_id=link.session_id)
            token = CURRENT.set(context)
            session = RealtimeSession(link)
            try:
                await function(session)
                session.keep_state()
            finally:
                context.stopped.set()
                CURRENT.reset(token)

        return handle
