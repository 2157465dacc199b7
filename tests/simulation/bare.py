"""A host that drives controllers by itself: sends, receives, interrupts, restarts, and closes."""

# What a controller has open and what it owes, only itself knows.
# pyright: reportPrivateUsage=false

import asyncio
from collections import Counter
from contextlib import suppress

from agentfield_journal import JournalConflict, JournalError
from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core.lifecycle import TERMINAL, OperationName, Phase
from agentfield_rt.core.records import Decision
from agentfield_rt.errors import Reason
from agentfield_rt.frames import (
    AudioFrame,
    Notice,
    OutputAudio,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    TextFrame,
)
from agentfield_rt.run import Run
from agentfield_rt.testing import Crashed, MemoryProvider, time_passes
from tests.simulation.lines import REFUSED, Line, RunBook, hang_up, seal
from tests.simulation.process import Process


def require_outcomes(controller: RealtimeSessionController) -> None:
    """Nobody calls any more: what is still open is a window, unless its outcome is owed."""
    if not controller._operations._owed:
        windows = int(controller._incoming.flow is not None)
        left = Counter(operation.name for operation in controller.state.open_operations.values())
        assert left[OperationName.RECEIVE] == windows, "a receive has no outcome"
        assert not left[OperationName.INTERRUPT], "an interrupt has no outcome"


class BareLine(Line):
    """Two callers and a provider that speaks, on one controller."""

    kind = "bare"
    frames = 0

    async def _session(self, process: Process, book: RunBook) -> bool:
        adapter, provider = book.outside.adapter(process)
        run = await Run.open(process.journal, book.run_id, clock=process.clock)
        book.begun = True
        controller = RealtimeSessionController(
            adapter, run, session_id=book.session_id, settings=self.settings
        )
        with suppress(*REFUSED):
            await controller.connect()
        if controller.state.phase is Phase.IDLE:
            with suppress(JournalError):
                await run.release()
            return False
        return await self._drive(process, controller, provider)

    async def _go_on(self, process: Process, book: RunBook, controller: RealtimeSessionController) -> None:
        await self._drive(process, controller, MemoryProvider())

    async def _drive(
        self, process: Process, controller: RealtimeSessionController, provider: MemoryProvider
    ) -> bool:
        over, fenced = asyncio.Event(), asyncio.Event()
        work = [self._call(process, controller, over, fenced) for _ in range(2)]
        tasks = [process.spawn(each, f"caller of {self.name}") for each in work]
        tasks.append(process.spawn(self._speak(provider), f"provider of {self.name}"))
        await self._until_over(process, over)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        require_outcomes(controller)
        if fenced.is_set():
            raise JournalConflict("another process has the run")
        await hang_up(controller)
        return await seal(controller.run, failed=controller.state.phase is Phase.FAILED)

    async def _call(
        self,
        process: Process,
        controller: RealtimeSessionController,
        over: asyncio.Event,
        fenced: asyncio.Event,
    ) -> None:
        while controller.state.phase not in TERMINAL:
            await time_passes(self.chance.expovariate(1 / 6))
            try:
                await self._act(controller)
            except JournalConflict:
                fenced.set()
                with suppress(*REFUSED):  # a host that is fenced hangs up: the record is another's
                    await controller.close()
                break
            except (*REFUSED, TimeoutError) as refusal:
                process.note(type(refusal).__name__)
            except Crashed:
                return
        over.set()

    async def _act(self, session: RealtimeSessionController) -> None:
        """One thing a caller does."""
        chance = self.chance
        if session.state.phase is Phase.DEGRADED and not session.state.needs_repair:
            await session.restart(Reason.CONNECTION_LOST)
        match chance.randrange(10):
            case 0 | 1:
                await session.send(TextFrame(self._frame_id("text"), "hello"))
            case 2 | 3:
                for _ in range(chance.randint(1, 12)):
                    await session.send(AudioFrame(self._frame_id("audio"), bytes(960)))
                    await time_passes(0.02)
            case 4 | 5 | 6:
                async with asyncio.timeout(chance.uniform(0.01, 5)):
                    await session.receive(demand=chance.randint(1, 8))
            case 7 if session.state.responses:
                await session.interrupt(chance.choice(list(session.state.responses)), heard_ms=20)
            case 8 if chance.random() < 0.2:
                await session.restart(Reason.CONNECTION_LOST)
            case _:
                for op_id in list(session.state.unknown):
                    session.reconcile(op_id, chance.choice(list(Decision)))

    def _frame_id(self, what: str) -> str:
        self.frames += 1
        return f"{what}-{self.name}-{self.frames}"

    async def _speak(self, provider: MemoryProvider) -> None:
        chance = self.chance
        while True:
            await time_passes(chance.expovariate(1 / 20))
            response_id = f"resp-{chance.randrange(10**9)}"
            provider.say(ResponseStarted(response_id))
            for _ in range(chance.randrange(4)):
                provider.say(OutputAudio(response_id, f"item-{response_id}", bytes(960)))
                await time_passes(chance.choice([0.0, 0.02, 0.5]))
            if chance.random() < 0.8:
                provider.say(ResponseEnded(response_id, ResponseStatus.COMPLETED))
            provider.say(Notice("rate_limits.updated"))
            if not self.calm and chance.random() < self.options.drops_per_hour / 180:
                provider.drop()
