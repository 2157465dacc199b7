"""Phone calls: voice sessions with a handler, tools, approvals and deliveries, and a person who talks."""

import asyncio
from contextlib import suppress

from msgspec import json

from agentfield_journal import JournalConflict, JournalError
from agentfield_rt.agent import RealtimeSession
from agentfield_rt.approvals import ApprovalDecision, ApprovalRule
from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.deliveries import CallableSink, Decision, Deliveries, DeliveryStatus, Destination, Output
from agentfield_rt.errors import CloseReason, ExecutionFailed, RealtimeError, SessionClosed
from agentfield_rt.frames import (
    FRAME_BYTES,
    CallEnded,
    InputTranscript,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
)
from agentfield_rt.ports import SessionConfig
from agentfield_rt.run import Run
from agentfield_rt.testing import Crashed, MemoryProvider, time_passes
from agentfield_rt.voice.link import SessionLink
from agentfield_rt.voice.session import VoiceSession
from agentfield_rt.voice.spec import SessionServices, SessionSpec
from tests.simulation.lines import REFUSED, TRIES_MAX, Line, RunBook, seal
from tests.simulation.process import Process

TOOLS = {"look_up": "desk.look_up", "pay": "desk.pay"}
PAYS = ApprovalRule("desk.pay", expires_after_s=20.0)
CONFIG = SessionConfig(turn_detection={"type": "server_vad", "silence_duration_ms": 320})


class Ear:
    """The caller's loudspeaker."""

    async def play(self, pcm: bytes) -> None:
        """Nobody minds what it sounds like."""

    async def clear(self) -> None:
        """Nothing is kept."""


class HandlerFault(Exception):
    """A bug of the application."""


class CallLine(Line):
    """One call after the other."""

    kind = "call"
    things = 0

    async def _session(self, process: Process, book: RunBook) -> bool:
        adapter, provider = book.outside.adapter(process)
        run = await Run.open(process.journal, book.run_id, clock=process.clock)
        book.begun = True
        session = VoiceSession(
            self._spec(book),
            run,
            controller=RealtimeSessionController(
                adapter, run, session_id=book.session_id, config=CONFIG, settings=self.settings
            ),
            services=SessionServices(content=self.content, executor=book.outside, clock=process.clock),
            handler=self._handler(book, process),
        )
        session.start()
        try:
            await run.durable()
            await session.connect(caller=Ear())
        except REFUSED as refusal:
            process.note(f"connect: {type(refusal).__name__}")
        else:
            await self._talk(process, session, provider)
        return await self._finish(process, session, run)

    async def _go_on(self, process: Process, book: RunBook, controller: RealtimeSessionController) -> None:
        """The caller has hung up meanwhile."""

    def _spec(self, book: RunBook) -> SessionSpec:
        return SessionSpec(
            session_id=book.session_id,
            target="desk.phone",
            provider="local",
            transport="websocket",
            config=CONFIG,
            tools=TOOLS,
            approvals={PAYS.target: PAYS},
            apology="sorry",
        )

    async def _talk(self, process: Process, session: VoiceSession, provider: MemoryProvider) -> None:
        over = asyncio.Event()
        tasks = [
            process.spawn(self._person(process, session, provider), f"person of {self.name}"),
            process.spawn(self._desk(process, session), f"desk of {self.name}"),
        ]
        watching = process.spawn(_when_ended(session, over), f"end of {self.name}")
        await self._until_over(process, over)
        for task in (*tasks, watching):
            task.cancel()
        await asyncio.wait([*tasks, watching])
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _finish(self, process: Process, session: VoiceSession, run: Run) -> bool:
        for _ in range(TRIES_MAX):
            try:
                await session.close()
                break
            except JournalConflict:
                raise
            except (RealtimeError, JournalError) as error:
                process.note(f"close: {type(error).__name__}")
                await time_passes(1)
        else:
            assert process.journal.has_failed or process.is_dead, "a call cannot be closed"
            with suppress(JournalError):
                await run.release()
            return False
        assert session.has_ended, "closed, and not ended"
        return await seal(run, failed=session.phase != "closed")

    def _handler(self, book: RunBook, process: Process):  # type: ignore[no-untyped-def]  # inferred below
        sink = CallableSink("crm", book.outside.take)

        async def converse(link: SessionLink) -> None:
            session = RealtimeSession(link)
            async for turn in session.turns():
                with suppress(ExecutionFailed):
                    await session.call("desk.look_up", text=turn.text)
                if not self.calm and self.chance.random() < self.options.handler_raises:
                    process.note("the handler raised")
                    raise HandlerFault
                said = session.say("one two three four")
                if self.chance.random() < 0.3:
                    await self._deliver(session, turn.id, sink, book)
                if self.chance.random() < 0.7:
                    await said

        return converse

    async def _deliver(
        self, session: RealtimeSession, turn_id: str, sink: CallableSink, book: RunBook
    ) -> None:
        """At most once, also when it is tried again after a doubt."""
        output = Output(source_id=turn_id, body=b"{}")
        for _ in range(3):
            outcome = await session.deliver(output, Destination("crm", "case-1"), sink, deadline_s=5.0)
            if outcome.status is not DeliveryStatus.RECONCILIATION_NEEDED or outcome.op_id is None:
                continue
            deliveries = session._link.deliveries  # pyright: ignore[reportPrivateUsage]
            assert isinstance(deliveries, Deliveries)  # the handler runs in this process
            key = deliveries.ledger.find(outcome.op_id)
            assert key is not None
            arrived = book.outside.arrived[key.request.dedupe_key]
            await session.reconcile(outcome.op_id, Decision.DONE if arrived else Decision.NOT_DONE)

    async def _person(self, process: Process, session: VoiceSession, provider: MemoryProvider) -> None:
        """Who calls."""
        while not session.is_over:
            await time_passes(self.chance.expovariate(1 / 8))
            try:
                await self._say_something(session, provider)
            except JournalConflict:  # the host's connection to the caller breaks with it
                with suppress(RealtimeError, JournalError):
                    await session.close(CloseReason.CALLER_GONE)
            except (*REFUSED, TimeoutError) as refusal:
                process.note(f"a person: {type(refusal).__name__}")
            except Crashed:
                return

    async def _say_something(self, session: VoiceSession, provider: MemoryProvider) -> None:
        chance = self.chance
        self.things += 1
        name = f"{self.name}-{self.things}"
        match chance.randrange(12):
            case 0 | 1 | 2 | 3:
                provider.say(SpeechStarted(name))
                await self._send_audio(session)
                await time_passes(chance.uniform(0.1, 2))
                provider.say(SpeechStopped(name), InputTranscript(name, "hello there", final=True))
            case 4 | 5:
                await session.hear_text("typed")
            case 6:
                await self._send_audio(session)
            case 7:
                await session.interrupt()
            case 8 | 9:
                arguments = json.encode({"call": name}).decode()
                tool = chance.choice(["look_up", "pay", "pay", "format_disk"])
                provider.say(ToolCalled("resp", name, tool, arguments))
            case 10 if chance.random() < 0.1:
                provider.say(CallEnded())
            case _ if not self.calm and chance.random() < self.options.drops_per_hour / 60:
                provider.drop()
            case _:
                pass

    async def _send_audio(self, session: VoiceSession) -> None:
        for _ in range(self.chance.randint(1, 12)):
            await session.hear_audio(bytes(FRAME_BYTES))
            await time_passes(0.02)

    async def _desk(self, process: Process, session: VoiceSession) -> None:
        """Who is asked for approvals, and sometimes is not there."""
        while not session.is_over:
            await time_passes(self.chance.expovariate(1 / 10))
            if not session.approvals.pending:
                continue
            question = session.approvals.pending[0]
            try:
                decision = self.chance.choice(list(ApprovalDecision))
                await session.approvals.decide(question.approval_id, decision)
            except (RealtimeError, JournalError) as refusal:
                process.note(f"the desk: {type(refusal).__name__}")
            except Crashed:
                return


async def _when_ended(session: VoiceSession, over: asyncio.Event) -> None:
    with suppress(Crashed, SessionClosed):
        await session.ended()
    over.set()
