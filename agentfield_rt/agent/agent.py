"""An agent: a node of reasoners and sessions. What an application author touches first."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from agentfield_rt.agent.hosting import host_agents
from agentfield_rt.agent.memory import Memory, MemoryConnection
from agentfield_rt.agent.reasoner import Reasoner
from agentfield_rt.agent.session import RealtimeSession, plain
from agentfield_rt.approval_rules import ApprovalRule
from agentfield_rt.core.rules.rule import Rule
from agentfield_rt.core.rules.ruleset import compile_rules
from agentfield_rt.errors import IllegalCommand, RealtimeError, UnsupportedTransport
from agentfield_rt.memory import Where
from agentfield_rt.ports import SessionConfig
from agentfield_rt.registry import validate_pair
from agentfield_rt.turn_detection import TurnDetection, validate_turn_detection
from agentfield_rt.voice.link import ExecutionRequest, Executor, Handler, SessionLink

Function = TypeVar("Function", bound=Callable[..., Any])
SessionFunction = Callable[[RealtimeSession], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """Where the running code stands in the workflow; nested calls inherit it."""

    run_id: str
    execution_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    actor_id: str | None = None


_current: ContextVar[ExecutionContext | None] = ContextVar("agentfield_execution", default=None)


def _standing() -> Where:
    current = _current.get()
    if current is None:
        return Where()
    return Where(workflow_id=current.run_id, session_id=current.session_id, actor_id=current.actor_id)


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
            token = _current.set(ExecutionContext(link.run_id, session_id=link.session_id))
            try:
                await function(RealtimeSession(link))
            finally:
                _current.reset(token)

        return handle


def _detection(given: Mapping[str, Any] | None, provider: str, transport: str) -> TurnDetection | None:
    detection = validate_turn_detection(given, provider=provider, transport=transport)
    if detection is not None:
        detection["create_response"] = False  # the handler answers
    return detection


class Agent:
    """A node: `@app.reasoner()` declares work, `@app.session(…)` declares calls, `app.run()` serves both.

    Args:
        node_id: The first half of every target, `node_id.name`.

    Attributes:
        memory: What agents remember; see `agentfield_rt.agent.memory`.
    """

    def __init__(self, node_id: str, *, version: str = "0.0.0", description: str = "") -> None:
        if not node_id or "." in node_id:
            raise ValueError(f"node_id {node_id!r} must be a word without dots: targets are node.name")
        self.node_id = node_id
        self.version = version
        self.description = description
        self.reasoners: dict[str, Reasoner] = {}
        self.sessions: dict[str, SessionDefinition] = {}
        self.memory = Memory(MemoryConnection(node_id, _standing))
        self._executor: Executor | None = None

    def reasoner(
        self, name: str | None = None, *, tags: Sequence[str] = (), description: str = ""
    ) -> Callable[[Function], Function]:
        """Declare a reasoner; its parameters, typed, are its input."""

        def declare(function: Function) -> Function:
            reasoner = Reasoner(
                function, name=name or function.__name__, tags=tuple(tags), description=description
            )
            if reasoner.name in self.reasoners:
                raise ValueError(f"{self.node_id} has a reasoner {reasoner.name!r} already")
            self.reasoners[reasoner.name] = reasoner
            return function

        return declare

    def session(  # noqa: PLR0913 - AgentField's signature
        self,
        name: str,
        *,
        provider: str,
        transport: str,
        model: str | None = None,
        modalities: Sequence[str] = ("audio", "text"),
        voice: str | None = None,
        tools: Sequence[str | ApprovalRule] = (),
        tags: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        turn_detection: Mapping[str, Any] | None = None,
        instructions: str = "",
        phrases: Sequence[str] = (),
        rules: Mapping[str, str] | None = None,
        apology: str | None = "Sorry, something went wrong on my side. Please say that again.",
    ) -> Callable[[SessionFunction], SessionFunction]:
        """Declare a session. The function is run for each call and asks for turns with `session.input()`.

        Args:
            name: The second half of the target, `node_id.name`.
            provider: Who runs the realtime model: `local`, `openai`, `openrouter`.
            transport: How audio and events move: `webrtc`, `websocket`, `audio_turns`.
            model: The provider's name of it; its own choice when left out. A caller may ask for another.
            modalities: `audio`, `text` or both: how the agent may answer.
            voice: The provider's name of it; as `model`.
            tools: Targets the model may call by itself; of an `ApprovalRule`, each call that is approved.
            tags: For whoever looks sessions up; they stand in the journal, so no personal data.
            metadata: What the handler and the page get to know; a caller may add to it.
            turn_detection: The provider's object; server_vad when left out, push to talk if its type is none.
            instructions: What the provider's model is told, for `session.reply`.
            phrases: What callers may say, in JSGF right-hand-side syntax: a hint for the recogniser.
            rules: Named parts of `phrases`, `{"number": "one | two"}` for `<number>`.
            apology: Said when the function raises, or says nothing to a turn for 300 s; None says nothing.

        Raises:
            UnsupportedTransport: the pair does not exist.
            InvalidTurnDetection: `turn_detection` is not one a provider takes.
        """
        provider_name, transport_name = validate_pair(provider, transport)
        config = SessionConfig(
            model=model,
            voice=voice,
            instructions=instructions,
            modalities=tuple(modalities),
            phrases=tuple(phrases),
            rules=dict(rules or {}),
            turn_detection=_detection(turn_detection, provider_name, transport_name),
        )

        def declare(function: SessionFunction) -> SessionFunction:
            if name in self.sessions:
                raise ValueError(f"{self.node_id} has a session {name!r} already")
            self.sessions[name] = SessionDefinition(
                name=name,
                provider=provider_name,
                transport=transport_name,
                config=config,
                tools=tuple(tool if isinstance(tool, str) else tool.target for tool in tools),
                approvals=tuple(tool for tool in tools if isinstance(tool, ApprovalRule)),
                tags=tuple(tags),
                metadata=dict(metadata or {}),
                apology=apology,
                function=function,
            )
            return function

        return declare

    def watch(self, session: str, *rules: Rule) -> None:
        """Let stream rules stand over the text of a session declared before, after those it has already.

        Args:
            session: Its name, the second half of its target.
            rules: What to watch for, and what to do about it; see `agentfield_rt.rules`.

        Raises:
            ValueError: no session of this name is declared.
            RefusedRule: a rule cannot be held as it is declared; none of them is taken.
        """
        definition = self._declared(session)
        together = (*definition.stream_rules, *rules)
        compile_rules(together)
        self.sessions[session] = replace(definition, stream_rules=together)

    def record(self, session: str) -> None:
        """Record both sides of every call of a session declared before; see `af session recording`.

        Whoever starts one is told so in the answer (`recorded`), and is to tell the caller, who has to agree
        in most places.

        Args:
            session: Its name, the second half of its target.

        Raises:
            ValueError: no session of this name is declared.
            UnsupportedTransport: its media flows browser ↔ provider, where we hear nothing.
        """
        definition = self._declared(session)
        if definition.transport == "webrtc":
            raise UnsupportedTransport(
                f"session {session!r} cannot be recorded: with transport=webrtc no media comes here; "
                "declare it with transport=websocket"
            )
        self.sessions[session] = replace(definition, recorded=True)

    def _declared(self, session: str) -> SessionDefinition:
        definition = self.sessions.get(session)
        if definition is None:
            raise ValueError(f"{self.node_id} has no session {session!r}; declare it first")
        return definition

    def bind(self, executor: Executor) -> None:
        """Let `app.call` reach the workflow; a control plane does this when the agent joins it."""
        self._executor = executor

    async def call(self, target: str, **arguments: Any) -> Any:
        """Run the reasoner `node.name`, as a child of whatever is running now.

        Raises:
            ExecutionFailed: it does not exist, raised, or was cancelled.
            RealtimeError: the agent has not joined a control plane.
        """
        if self._executor is None:
            raise RealtimeError(
                f"agent {self.node_id} is not running; app.run() or a control plane comes first"
            )
        current = _current.get()
        request = ExecutionRequest(
            target=target,
            arguments={name: plain(value) for name, value in arguments.items()},
            run_id=current.run_id if current else None,
            session_id=current.session_id if current else None,
            turn_id=current.turn_id if current else None,
            parent_execution_id=current.execution_id if current else None,
        )
        return await self._executor.execute(request)

    async def invoke(self, name: str, arguments: Mapping[str, Any], context: ExecutionContext) -> Any:
        """Run one of this agent's own reasoners, at `context`'s place in the workflow.

        Raises:
            InvalidInput: the arguments do not fit.
        """
        token = _current.set(context)
        try:
            return await self.reasoners[name].invoke(arguments)
        finally:
            _current.reset(token)

    def run(
        self, *, host: str | None = None, port: int | None = None, data: str | Path | None = None
    ) -> None:
        """Serve this agent with an embedded control plane, until Ctrl-C.

        What is left out comes from the environment (`agentfield_rt.config.Settings`).

        Raises:
            RealtimeError: no control plane is installed, the port is taken, or `data` is in use.
        """
        host_agents([self], host=host, port=port, data=data)
