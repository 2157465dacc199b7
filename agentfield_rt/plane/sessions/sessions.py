"""Live sessions: started against a declaration, found by whoever may use them, let go when they end."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Coroutine, Generator, Iterator

from agentfield_journal import ContentStore, JournalError
from agentfield_rt.agent import SessionDefinition
from agentfield_rt.controller import BoundarySettings, RealtimeSessionController
from agentfield_rt.core.records import Limits
from agentfield_rt.errors import CloseReason, Reason
from agentfield_rt.plane.access.caller import Caller
from agentfield_rt.plane.access.tokens import SessionTokens
from agentfield_rt.plane.errors import Busy, SessionNotFound
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.executions import Executions
from agentfield_rt.plane.nodes import Node, Nodes
from agentfield_rt.plane.notation import run_id_of
from agentfield_rt.plane.providers import Providers
from agentfield_rt.plane.runs import Runs
from agentfield_rt.plane.sessions.lifetimes import Lifetimes
from agentfield_rt.plane.sessions.specs import StartRequest, checked_pair, require_pair, session_spec
from agentfield_rt.plane.sessions.tool_calls import CallerTools, ToolCall
from agentfield_rt.ports import Connection, ProviderAdapter
from agentfield_rt.recording import Recordings
from agentfield_rt.registry import encoder_factory
from agentfield_rt.run import Run
from agentfield_rt.voice.link import Handler
from agentfield_rt.voice.session import VoiceSession
from agentfield_rt.voice.spec import SessionServices, SessionSpec

log = logging.getLogger(__name__)

ENDED_REMEMBERED_MAX = 1_000

TOKEN_GRACE_S = 60.0
"""How long a session's token opens it after its end: a page reads how it ended."""

BOUNDARY = BoundarySettings(limits=Limits(restarts_max=1_000))
"""A call of hours over a bad line survives; only a provider that keeps breaking off spends this."""

_FAILURES = {
    CloseReason.PROVIDER_FAILURE: Reason.UNAVAILABLE,
    CloseReason.INTERNAL: Reason.UNAVAILABLE,
    CloseReason.HANDLER_FAILURE: Reason.HANDLER_ERROR,
    CloseReason.TAMPERED: Reason.TAMPERED,
}
"""What a session's end says of its run, where it is not well."""


class Sessions:
    """Starts sessions and finds them again.

    Attributes:
        tokens: What opens a single session, for as long as it lives.
    """

    def __init__(
        self, runs: Runs, nodes: Nodes, *, executions: Executions, content: ContentStore, providers: Providers
    ) -> None:
        self._runs = runs
        self._nodes = nodes
        self._recordings = Recordings(lambda: encoder_factory()(), content)
        self._services = SessionServices(content=content, executor=executions, recordings=self._recordings)
        self._providers = providers
        self._sessions: dict[str, VoiceSession] = {}
        self._endings: set[asyncio.Task[None]] = set()
        self._connecting: dict[str, asyncio.Task[Connection]] = {}
        self._starting: set[asyncio.Event] = set()
        self._takes_new = True
        self._is_closed = False
        self._tools = CallerTools(runs, executions, content)
        self.tokens = SessionTokens()
        self._lifetimes = Lifetimes(self._end, age_max_s=providers.settings.session_age_max_s)

    def __len__(self) -> int:
        """Live sessions, and those that are being started."""
        return len(self._starting) + sum(not session.is_over for session in self._sessions.values())

    def __iter__(self) -> Iterator[VoiceSession]:
        """Live sessions, and those that ended lately."""
        return iter(tuple(self._sessions.values()))

    @property
    def has_room(self) -> bool:
        """Whether another may be started."""
        return self._takes_new and len(self) < self._providers.settings.sessions_max

    def get(self, session_id: str, caller: Caller) -> VoiceSession:
        """A session that was started here, for somebody who may use it.

        Raises:
            SessionNotFound: never, or long ago, or it is somebody else's: which of these is not said.
        """
        session = self._sessions.get(session_id)
        if session is None or not caller.may_use(session_id, session.spec.owner):
            raise SessionNotFound(session_id)
        return session

    async def start(self, target: str, request: StartRequest) -> VoiceSession:
        """Start a session; its first record is durable when this returns.

        Raises:
            BadRequest, NotFound: the target is no session, or not for this pair (AgentField's texts); or
                two of its tools have one name.
            UnsupportedTransport: nothing here can drive the pair.
            RecordingUnavailable: its calls are to be recorded, and nothing here can.
            Busy: as many sessions are live as may be, or the server stops.
        """
        node, definition = self._nodes.session(target)
        provider, transport = checked_pair(
            request.provider or definition.provider, request.transport or definition.transport
        )
        require_pair(target, definition, (provider, transport))
        handler = _handler(node, definition)
        spec = session_spec(self._nodes, node, definition, request=request, is_handled=handler is not None)
        with self._place():
            if spec.recorded:
                await asyncio.to_thread(encoder_factory)  # its codec is loaded once
            adapter = await self._providers.adapter(provider, transport)
            self._require_open()
            run = await self._runs.hold(run_id_of(spec.session_id))
            session = self._begin(spec, run, adapter=adapter, handler=handler)
        try:
            await run.durable()
        except BaseException:  # nobody learned its id
            self._end(session, CloseReason.CALLER_GONE)
            raise
        return session

    async def drain(self) -> None:
        """Start nothing new, and return when every session has ended, those too that are being started.

        It may be cancelled.
        """
        self._takes_new = False
        for started in tuple(self._starting):
            await started.wait()
        for session in self:
            await session.ended()

    @contextlib.contextmanager
    def _place(self) -> Generator[None]:
        """Keep one of the places for a session that is being started; then it counts itself."""
        if not self._takes_new:
            raise _about_to_stop()
        taken = len(self)
        if taken >= self._providers.settings.sessions_max:
            raise Busy(f"{taken} sessions are live, which is the limit; try again later")
        started = asyncio.Event()
        self._starting.add(started)
        try:
            yield
        finally:
            self._starting.discard(started)
            started.set()

    def _require_open(self) -> None:
        """Nobody waits any more for a session that is being started: it would be in nobody's care.

        Raises:
            Busy: it is so.
        """
        if self._is_closed:
            raise _about_to_stop()

    def _begin(
        self, spec: SessionSpec, run: Run, *, adapter: ProviderAdapter, handler: Handler | None
    ) -> VoiceSession:
        """Start a session in a run that is held for it; without one, the run is let go."""
        try:
            self._require_open()
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
        self._lifetimes.begin(session)
        return session

    async def connect(self, session: VoiceSession) -> None:
        """Connect a session of which nothing but typed turns is known to come; several may ask at once.

        Raises:
            SessionClosed, ProviderError: see `VoiceSession.connect`.
        """
        session_id = session.session_id
        if session.phase == "idle" and session_id not in self._connecting:
            begun = asyncio.create_task(session.connect(), name=f"connect {session_id}")
            self._connecting[session_id] = begun
            begun.add_done_callback(lambda _: self._connecting.pop(session_id))
        if (connecting := self._connecting.get(session_id)) is not None:
            await asyncio.shield(connecting)  # whoever leaves takes the connection from nobody else

    async def call_tool(self, session: VoiceSession, call: ToolCall) -> Execution:
        """Run a tool for a caller (`CallerTools.call`)."""
        return await self._tools.call(session, call)

    @contextlib.asynccontextmanager
    async def presence(self, session: VoiceSession) -> AsyncGenerator[None, None]:
        """The caller is there while one of these is entered; the session ends soon after the last."""
        async with self._lifetimes.presence(session):
            yield

    async def close(self) -> None:
        """End every live session; none that is being started becomes one."""
        self._takes_new, self._is_closed = False, True
        live = [session for session in self._sessions.values() if not session.is_over]
        ends = (session.close(CloseReason.SHUTDOWN) for session in live)
        await asyncio.gather(*ends, return_exceptions=True)  # each session says itself what went wrong
        await asyncio.gather(*self._endings)
        self._recordings.close()

    def _end(self, session: VoiceSession, reason: CloseReason) -> None:
        if not session.is_over:
            self._spawn(session.close(reason), f"close {session.session_id}")

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
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
        session_id = session.session_id
        self._lifetimes.over(session_id)
        self._tools.forget(session_id)
        asyncio.get_running_loop().call_later(TOKEN_GRACE_S, self.tokens.revoke, session_id)
        reason = session.close_reason
        if reason is not None and reason in _FAILURES:
            self._runs.fail(session.run_id, _FAILURES[reason])
        elif reason is CloseReason.CANCEL:
            self._runs.cancel(session.run_id)
        await self._release(session.run_id)

    def _forget_old(self) -> None:
        over = [session_id for session_id, session in self._sessions.items() if session.is_over]
        for session_id in over[: max(len(over) - ENDED_REMEMBERED_MAX, 0)]:
            del self._sessions[session_id]


def _about_to_stop() -> Busy:
    return Busy("this server is about to stop; start the session again in a moment", retry_after_s=5)


def _handler(node: Node, definition: SessionDefinition) -> Handler | None:
    """Who handles a session of the node; None: nobody, and the provider's model answers by itself."""
    return node.handlers.handler(definition.name) if node.handlers is not None else None
