"""Sessions of this plane: started against a declaration, found by id, ended when their caller goes."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Coroutine, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from msgspec import json

from agentfield_journal import ContentStore, JournalError
from agentfield_rt.agent import SessionDefinition
from agentfield_rt.approvals import ApprovalRule, ApprovalSubject
from agentfield_rt.controller import BoundarySettings, RealtimeSessionController
from agentfield_rt.core.records import Limits
from agentfield_rt.errors import CloseReason, Reason
from agentfield_rt.plane.errors import BadRequest, Busy, NotAllowed, NotFound
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.executions import Executions
from agentfield_rt.plane.nodes import Node, Nodes
from agentfield_rt.plane.notation import new_session_id, new_tool_call_id, run_id_of
from agentfield_rt.plane.providers import Providers
from agentfield_rt.plane.runs import Runs
from agentfield_rt.ports import ProviderAdapter, ToolSpec
from agentfield_rt.recording import Recordings
from agentfield_rt.registry import encoder_factory, validate_pair
from agentfield_rt.run import Run
from agentfield_rt.voice.link import ExecutionRequest, Handler
from agentfield_rt.voice.session import VoiceSession
from agentfield_rt.voice.spec import SessionServices, SessionSpec

log = logging.getLogger(__name__)

CALLER_GRACE_S = 1.0
"""How long the last event stream of a caller may be gone before the session ends: a reload is longer."""

CONNECT_WITHIN_S = 120.0
"""A session nobody connects to ends by itself."""

ENDED_REMEMBERED_MAX = 1_000

BOUNDARY = BoundarySettings(limits=Limits(restarts_max=1_000))
"""A call of hours over a bad line survives; only a provider that keeps breaking off spends this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """What a caller asks of a new session; what is left out comes from its declaration."""

    provider: str | None = None
    transport: str | None = None
    model: str | None = None
    voice: str | None = None
    metadata: Mapping[str, Any] | None = None
    incoming_call_id: str | None = None


class Sessions:
    """Starts sessions and finds them again."""

    def __init__(
        self, runs: Runs, nodes: Nodes, *, executions: Executions, content: ContentStore, providers: Providers
    ) -> None:
        self._runs = runs
        self._nodes = nodes
        self._executions = executions
        self._recordings = Recordings(lambda: encoder_factory()(), content)
        self._services = SessionServices(content=content, executor=executions, recordings=self._recordings)
        self._providers = providers
        self._sessions: dict[str, VoiceSession] = {}
        self._presence: dict[str, int] = {}
        self._endings: set[asyncio.Task[None]] = set()
        self._starting = 0

    def __len__(self) -> int:
        """Live sessions."""
        return sum(not session.is_over for session in self._sessions.values())

    def __iter__(self) -> Iterator[VoiceSession]:
        """Live sessions, and those that ended lately."""
        return iter(tuple(self._sessions.values()))

    def get(self, session_id: str) -> VoiceSession:
        """A session that was started here.

        Raises:
            NotFound: never, or long ago.
        """
        session = self._sessions.get(session_id)
        if session is None:
            raise NotFound(f"session '{session_id}' not found; start one first")
        return session

    async def start(self, target: str, request: StartRequest) -> VoiceSession:
        """Start a session; its first record is durable when this returns.

        Raises:
            BadRequest, NotFound: the target is no session, or not for this pair (AgentField's texts); or
                two of its tools have one name.
            UnsupportedTransport: the pair does not exist, or nothing here can drive it.
            RecordingUnavailable: its calls are to be recorded, and nothing here can.
            Busy: as many sessions are live as may be.
        """
        node, definition = self._nodes.session(target)
        provider, transport = validate_pair(
            request.provider or definition.provider, request.transport or definition.transport
        )
        if (provider, transport) != (definition.provider, definition.transport):
            raise BadRequest(
                f"session {target} is registered for provider={definition.provider} "
                f"transport={definition.transport}; requested provider={provider} transport={transport}"
            )
        spec = self._spec(node, definition, request)
        handler = _handler(node, definition)
        with self._place():
            if spec.recorded:
                await asyncio.to_thread(encoder_factory)  # its codec is loaded once
            adapter = await self._providers.adapter(provider, transport)
            run = await self._runs.hold(run_id_of(spec.session_id))
            session = self._begin(spec, run, adapter=adapter, handler=handler)
        try:
            await run.durable()
        except BaseException:  # nobody learned its id
            self._end(session)
            raise
        return session

    @contextlib.contextmanager
    def _place(self) -> Generator[None]:
        """Keep one of the places for a session that is being started; then it counts itself."""
        taken = len(self) + self._starting
        if taken >= self._providers.settings.sessions_max:
            raise Busy(f"{taken} sessions are live, which is the limit; try again later")
        self._starting += 1
        try:
            yield
        finally:
            self._starting -= 1

    def _begin(
        self, spec: SessionSpec, run: Run, *, adapter: ProviderAdapter, handler: Handler
    ) -> VoiceSession:
        """Start a session in a run that is held for it; without one, the run is let go."""
        try:
            session = VoiceSession(
                spec,
                run,
                controller=RealtimeSessionController(
                    adapter, run, session_id=spec.session_id, config=spec.config, settings=BOUNDARY
                ),
                services=self._services,
                handler=handler,
            )
            session.start()
        except BaseException:
            self._runs.fail(run.run_id, Reason.INTERNAL)
            self._spawn(self._release(run.run_id), f"let go {run.run_id}")
            raise
        self._sessions[session.session_id] = session
        self._forget_old()
        self._spawn(self._let_go(session), f"let go {session.session_id}")
        asyncio.get_running_loop().call_later(CONNECT_WITHIN_S, self._end_if_unused, session)
        return session

    async def call_tool(
        self, session_id: str, tool: str, *, target: str | None, arguments: Mapping[str, Any]
    ) -> Execution:
        """Run a tool for a caller; only what was on the session's list when it started.

        Raises:
            NotAllowed: it is not, or needs an approval and did not get it; this waits for the answer.
            IllegalCommand: a rule of the session stops it.
            BadRequest: the session is over.
        """
        session = self.get(session_id)
        if session.is_over:
            raise BadRequest(f"session {session_id} is over; start a new one")
        allowed = session.spec.tools
        wanted = target or allowed.get(tool, tool)
        if wanted not in allowed.values():
            names = ", ".join(sorted(allowed.values())) or "none"
            raise NotAllowed(f"tool '{wanted}' is not allowed in this session; allowed: {names}")
        call_id = new_tool_call_id()
        arguments = await session.rules.arguments(call_id, arguments)
        if (rule := session.spec.approvals.get(wanted)) is not None:
            approval = await session.approvals.request(
                ApprovalSubject.TOOL, rule, op_id=call_id, detail=json.encode(arguments).decode()
            )
            if not approval.is_granted:
                raise NotAllowed(f"tool '{wanted}' was not approved: {approval.status}")
        return await self._executions.submit(
            ExecutionRequest(target=wanted, arguments=arguments, run_id=session.run_id, session_id=session_id)
        )

    @contextlib.asynccontextmanager
    async def presence(self, session: VoiceSession) -> AsyncGenerator[None, None]:
        """The caller is there while one of these is entered; the session ends soon after the last."""
        session_id = session.session_id
        self._presence[session_id] = self._presence.get(session_id, 0) + 1
        try:
            yield
        finally:
            self._presence[session_id] -= 1
            if not self._presence[session_id]:
                del self._presence[session_id]
                asyncio.get_running_loop().call_later(CALLER_GRACE_S, self._end_if_gone, session)

    async def close(self) -> None:
        """End every live session."""
        live = [session for session in self._sessions.values() if not session.is_over]
        ends = (session.close(CloseReason.SHUTDOWN) for session in live)
        await asyncio.gather(*ends, return_exceptions=True)  # each session says itself what went wrong
        await asyncio.gather(*self._endings)
        self._recordings.close()

    def _end_if_gone(self, session: VoiceSession) -> None:
        if not self._presence.get(session.session_id):
            self._end(session)

    def _end_if_unused(self, session: VoiceSession) -> None:
        if session.phase == "idle":
            self._end(session)

    def _end(self, session: VoiceSession) -> None:
        if not session.is_over:
            self._spawn(session.close(CloseReason.CALLER_GONE), f"close {session.session_id}")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        ending = asyncio.create_task(work, name=name)
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _release(self, run_id: str) -> None:
        try:
            await self._runs.let_go(run_id)
        except JournalError as error:
            log.error("run %s could not be sealed: %s", run_id, type(error).__name__)

    async def _let_go(self, session: VoiceSession) -> None:
        await session.ended()
        if session.close_reason in (CloseReason.PROVIDER_FAILURE, CloseReason.INTERNAL):
            self._runs.fail(session.run_id, Reason.UNAVAILABLE)
        elif session.close_reason is CloseReason.HANDLER_FAILURE:
            self._runs.fail(session.run_id, Reason.HANDLER_ERROR)
        elif session.close_reason is CloseReason.TAMPERED:
            self._runs.fail(session.run_id, Reason.TAMPERED)
        elif session.close_reason is CloseReason.CANCEL:
            self._runs.cancel(session.run_id)
        await self._release(session.run_id)

    def _spec(self, node: Node, definition: SessionDefinition, request: StartRequest) -> SessionSpec:
        tools = _tools(node, definition)
        config = replace(
            definition.config,
            model=request.model or definition.config.model,
            voice=request.voice or definition.config.voice,
            tools=tuple(self._tool_spec(name, target) for name, target in tools.items()),
        )
        return SessionSpec(
            session_id=new_session_id(),
            target=f"{node.node_id}.{definition.name}",
            provider=definition.provider,
            transport=definition.transport,
            config=config,
            tools=tools,
            approvals={rule.target: rule for rule in _approvals(node, definition)},
            stream_rules=definition.stream_rules,
            tags=definition.tags,
            metadata={**definition.metadata, **(request.metadata or {})},
            apology=definition.apology,
            incoming_call_id=request.incoming_call_id,
            recorded=definition.recorded,
        )

    def _tool_spec(self, name: str, target: str) -> ToolSpec:
        _, capability = self._nodes.capability(target)
        return ToolSpec(name=name, description=capability.description, parameters=capability.input_schema)

    def _forget_old(self) -> None:
        over = [session_id for session_id, session in self._sessions.items() if session.is_over]
        for session_id in over[: max(len(over) - ENDED_REMEMBERED_MAX, 0)]:
            del self._sessions[session_id]


def _handler(node: Node, definition: SessionDefinition) -> Handler:
    """Who handles a session of the node.

    Raises:
        BadRequest: nobody does, and nothing here lets the provider's model answer by itself.
    """
    handler = node.handlers.handler(definition.name) if node.handlers is not None else None
    if handler is None:
        raise BadRequest(f"nobody handles sessions of {node.node_id}.{definition.name} at this server")
    return handler


def _tools(node: Node, definition: SessionDefinition) -> dict[str, str]:
    """Targets by the name the model calls them: a reasoner's, without its node.

    Raises:
        BadRequest: two have one name.
    """
    tools: dict[str, str] = {}
    for tool in definition.tools:
        target = _target(node, tool)
        name = target.partition(".")[2]
        other = tools.setdefault(name, target)
        if other != target:
            raise BadRequest(
                f"session {node.node_id}.{definition.name} allows {other} and {target}, which a model "
                f"cannot tell apart: both are '{name}' to it; rename one of the reasoners"
            )
    return tools


def _approvals(node: Node, definition: SessionDefinition) -> list[ApprovalRule]:
    return [replace(rule, target=_target(node, rule.target)) for rule in definition.approvals]


def _target(node: Node, name: str) -> str:
    return name if "." in name else f"{node.node_id}.{name}"
