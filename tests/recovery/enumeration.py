"""Every place where a process of a golden story can die, and what the next process makes of it."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.approvals import Approvals
from agentfield_rt.core import records
from agentfield_rt.core.lifecycle import TERMINAL, Phase
from agentfield_rt.core.records import Decision
from agentfield_rt.deliveries import Deliveries
from agentfield_rt.errors import CloseReason, IllegalCommand, RestartBudgetSpent
from agentfield_rt.frames import AudioFrame, TextFrame
from agentfield_rt.recovery import Recovery, end_run, history, inspect_run, open_session
from agentfield_rt.testing import FaultJournal
from tests.recovery.checks import check, require
from tests.recovery.process import CONTEXT, RUN, SESSION, WHERE, Death, Process, Remains, World
from tests.recovery.stage import STEADY, Golden

Situation = tuple[object, ...]
Recoverer = Callable[[Process], Awaitable[None]]


@dataclass
class Tally:
    """How many crash points there were, and in which different situations they left a run."""

    crashes: int = 0
    recoveries: int = 0
    situations: set[Situation] = field(default_factory=set[Situation])


@dataclass(frozen=True, slots=True)
class Lengths:
    """How often a process came to a place where it can die."""

    appends: int
    durables: int
    calls: int

    @classmethod
    def of(cls, process: Process) -> "Lengths":
        return cls(process.faults.appends_total, process.faults.durables_total, process.adapter.calls_total)

    def deaths(self) -> Iterator[Death]:
        yield Death("end")
        for where in WHERE:
            total = self.appends if where == "append" else self.durables
            total = self.calls if where.startswith("call") else total
            yield from (Death(where, nth) for nth in range(1, total + 1))


async def live(golden: Golden, death: Death, *, told: bool = False) -> tuple[World, Process]:
    """Let a process live its story until it dies.

    Args:
        told: The story must come to its end.
    """
    world = World()
    process = Process(world, MemoryStore(), death, answer=golden.answer)
    error = await process.live(_told(golden, process))
    if told and error is not None:
        raise error
    return world, process


async def _told(golden: Golden, process: Process) -> None:
    await golden.tell(process)


def disks(process: Process) -> list[Remains]:
    """What the next process may find: all that was written, and only what somebody was told is durable."""
    found = Remains.of(process.store)
    least = found.least(process.world.told_seq)
    return [found] if least == found else [found, least]


async def go_on(process: Process) -> None:
    """Recovers with `open_session`, goes on for a moment, and brings everything to its end."""
    try:
        controller = await open_session(
            process.journal, RUN, process.adapter, recovery=Recovery(settings=STEADY)
        )
    except RestartBudgetSpent:  # there will be no connection, but there is an end
        require(await end_run(process.journal, RUN), "it has no connection and no end")
        return
    except IllegalCommand as refusal:
        found = await inspect_run(process.journal, RUN)
        require(found.is_sealed or not found.sessions, f"refused: {refusal}")
        return
    session, found = controller.run, await inspect_run(process.journal, RUN)
    require(found.sessions[SESSION] == controller.state, "the fold is not what the new owner knows")
    require(not found.open_operations and not found.features, "something is open after recovery")
    require(not controller.state.needs_repair and not controller.state.gated, "something is left in doubt")
    if controller.state.phase is Phase.IDLE:
        await controller.connect()
    if controller.state.phase is Phase.OPEN:
        owner = len(process.world.providers)
        await controller.send(TextFrame(f"text-of-owner-{owner}", "and on"))
        await controller.send(AudioFrame(f"audio-of-owner-{owner}", bytes([owner]) * 960))
        await controller.close(CloseReason.SHUTDOWN)
    require(controller.state.phase in TERMINAL, f"it is {controller.state.phase}, and neither open nor over")
    told = await history(process.journal, RUN, session_id=SESSION)
    approvals = Approvals(session, process.world.content, session_id=SESSION, history=told)
    require(not await approvals.recover() and not approvals.state.pending, "a question is still pending")
    deliveries = Deliveries(session, process.world.content, session_id=SESSION, history=told)
    for delivery in await deliveries.recover():
        await deliveries.reconcile(delivery.request.op_id, Decision.ABANDONED)
    if found.started:
        session.append([records.SessionEnded(reason=CloseReason.SHUTDOWN)], CONTEXT)
    await session.seal(records.RunCancelled())
    await session.release()


async def end(process: Process) -> None:
    """Recovers with `end_run`: no adapter is called, and the run has its last record."""
    ended = await end_run(process.journal, RUN)
    require(not await end_run(process.journal, RUN), "it was ended twice")
    require(process.adapter.calls_total == 0, "an adapter was called to end a run")
    found = await inspect_run(process.journal, RUN)
    require(found.is_sealed, "the run was not sealed")
    require(ended or not found.started, "it had been ended, and was not")


RECOVERERS: tuple[Recoverer, ...] = (go_on, end)


async def recover(
    golden: Golden, world: World, found: Remains, recoverer: Recoverer, death: Death | None = None
) -> Process:
    """The next process. If it is not to die as well, everything must hold afterwards."""
    process = Process(world, found.store(), death or Death("end"), answer=golden.answer)
    await inspect_run(FaultJournal(process.store), RUN)
    require(Remains.of(process.store).rows == found.rows, "somebody looked at a run and wrote to it")
    error = await process.live(_awaited(recoverer, process))
    if error is not None:
        raise error
    if death is not None:
        return process
    if not (envelopes := await FaultJournal(process.store).read(RUN)):
        require(not world.told_seq, "everything is gone, and somebody was told that it is durable")
        return process
    check(world, envelopes, emergencies=golden.emergencies)
    require(not process.held.complaints, f"the port's rules: {process.held.complaints}")
    return process


async def _awaited(recoverer: Recoverer, process: Process) -> None:
    await recoverer(process)


async def die_everywhere(
    golden: Golden,
    tally: Tally,
    *,
    again: bool = False,
    recoverers: tuple[Recoverer, ...] = RECOVERERS,
) -> None:
    """One story: every death, every disk it may leave, each way to recover.

    Args:
        again: Let the process that recovers die too, at each of its appends and waits for the disk, and a
            third one recover; from each situation once.
    """
    _, told = await live(golden, Death("end"), told=True)
    for death in Lengths.of(told).deaths():
        world, process = await live(golden, death)
        for number, found in enumerate(disks(process)):
            tally.crashes += 1
            try:
                await _recover_from(golden, world, found, tally, again, recoverers)
            except BaseException as error:
                error.add_note(f"{golden.name}: died at {death}, disk {number}")
                raise


async def _recover_from(
    golden: Golden,
    world: World,
    found: Remains,
    tally: Tally,
    again: bool,
    recoverers: tuple[Recoverer, ...],
) -> None:
    situation = await _situation(found)
    if again and situation in tally.situations:
        return
    tally.situations.add(situation)
    for recoverer in recoverers:
        tally.recoveries += 1
        try:
            second = await recover(golden, world.copy(), found, recoverer)
            if again:
                await _die_again(golden, world, found, recoverer, Lengths.of(second), tally)
        except BaseException as error:
            error.add_note(f"recovered by {recoverer.__name__}")
            raise


async def _situation(found: Remains) -> Situation:
    """What of a journal decides how it is recovered."""
    told = await inspect_run(FaultJournal(found.store()), RUN)
    state = told.sessions.get(SESSION)
    boundary: Situation = ()
    if state is not None:
        under_way = (*state.open_operations.values(), *state.unknown.values())
        waiting = tuple(frame.media for frame in state.gated[:2])
        boundary = (state.phase, waiting, len(state.unknown), *((op.name, op.media) for op in under_way))
    features = tuple(dict.fromkeys(feature.opener.kind for feature in told.features))
    return (*boundary, features, bool(told.unsettled), bool(told.started), told.is_sealed)


async def _die_again(
    golden: Golden,
    world: World,
    found: Remains,
    recoverer: Recoverer,
    lengths: Lengths,
    tally: Tally,
) -> None:
    for where, total in (("append", lengths.appends), ("durable stored", lengths.durables)):
        for nth in range(1, total + 1):
            then = world.copy()
            death = Death("append" if where == "append" else "durable stored", nth)
            process = await recover(golden, then, found, recoverer, death)
            tally.crashes += 1
            tally.recoveries += 1
            try:
                await recover(golden, then, disks(process)[-1], recoverer)
            except BaseException as error:
                error.add_note(f"the second process died at {death}")
                raise
