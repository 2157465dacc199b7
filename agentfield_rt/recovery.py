"""Going on where a process stopped: fold the journal, close what nobody can finish, reconnect or end.

Nothing is done twice. An operation that was open when the process died may have had its effect or not;
it is closed as unknown and never repeated, unless somebody who asked the provider says otherwise.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from agentfield_journal import ContentStore
from agentfield_journal.ports import Journal
from agentfield_rt.controller import BoundarySettings, RealtimeSessionController
from agentfield_rt.core import commands, records
from agentfield_rt.core.commands import Command
from agentfield_rt.core.decide import decide
from agentfield_rt.core.evolve import evolve
from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.core.outcomes import lost
from agentfield_rt.core.records import Decision
from agentfield_rt.core.state import OpenOperation, State
from agentfield_rt.errors import CloseReason, IllegalCommand, ProviderError, Reason
from agentfield_rt.history import read_history
from agentfield_rt.inspection import OpenFeature, RunInJournal, history, inspect_run
from agentfield_rt.items import History
from agentfield_rt.ports import Clock, ProviderAdapter, SessionConfig, system_clock
from agentfield_rt.run import Context, Run

__all__ = [
    "OpenFeature",
    "Recovery",
    "RunInJournal",
    "abandon",
    "end_run",
    "end_what_died",
    "history",
    "inspect_run",
    "open_session",
]


def abandon(operation: OpenOperation) -> Decision:
    """Reconciles without asking anybody: it is not done again."""
    return Decision.ABANDONED


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How a session goes on.

    Attributes:
        config: What the provider is told about the session, as when it connected first.
        reconcile: Asked about each operation whose outcome is unknown; whoever can ask the provider does.
        content: Where what was said is kept. With it the new connection is told the conversation; without, it
            begins from nothing.
        offer_sdp: A new offer of the caller, where media flows browser ↔ provider.
        clock: Gives records their times. It may be behind the dead process's: `seq` orders a run.
    """

    config: SessionConfig | None = None
    settings: BoundarySettings = field(default_factory=BoundarySettings)
    reconcile: Callable[[OpenOperation], Decision] = abandon
    content: ContentStore | None = None
    offer_sdp: str | None = None
    clock: Clock = system_clock


async def open_session(
    journal: Journal,
    run_id: str,
    adapter: ProviderAdapter,
    *,
    session_id: str | None = None,
    recovery: Recovery | None = None,
) -> RealtimeSessionController:
    """Become the writer of a run and go on with its session in this process.

    What was open is closed as unknown and reconciled, what waited behind the gate is dropped (its
    bytes died with the process), and the provider connection is replaced. A session that was being
    closed is closed; one that is over, or was never connected, comes back as it is. What is open above the
    provider boundary is closed too: approvals expire and deliveries are in doubt, for `Approvals.recover`
    and `Deliveries.recover` to go on from. The run is the controller's `run`; release it when all is done.

    Args:
        adapter: A new one for the session's provider and transport.
        session_id: Needed only if the run has several sessions.

    Raises:
        JournalConflict: the run's writer is alive.
        IllegalCommand: the run has no such session, or is sealed.
        RestartBudgetSpent, ProviderError: there is no new connection. What was open is closed all the same,
            and the run is let go: `end_run` brings it to its end.
    """
    recovery = recovery or Recovery()
    run = await Run.open(journal, run_id, clock=recovery.clock)
    try:
        found = await inspect_run(journal, run_id)
        state = _one_session(found, session_id)
        if found.is_sealed:
            raise IllegalCommand(f"run {run_id} is sealed; nothing goes on in it")
        _close_features(run, found, state.session_id)
        controller = RealtimeSessionController.resume(
            adapter, run, state, config=recovery.config, settings=recovery.settings
        )
        controller.recover(recovery.reconcile)
        await controller.durable()
        match controller.state.phase:
            case Phase.DEGRADED:
                await _reconnect(controller, adapter, recovery, await _said(journal, controller, recovery))
            case Phase.CLOSING:
                await controller.close(found.closing.get(state.session_id, CloseReason.INTERNAL))
            case _:
                pass
    except BaseException:
        await run.release()
        raise
    return controller


async def end_run(journal: Journal, run_id: str, reason: Reason = Reason.PROCESS_LOST) -> bool:
    """Bring a run to its end that a dead process left: close what is open and seal it as failed.

    No adapter is called. A connection that its provider still holds (a WebRTC call) ends there by
    itself when its media does.

    Returns:
        False if it had its last record already.

    Raises:
        JournalConflict: the run's writer is alive.
    """
    run = await Run.open(journal, run_id)
    try:
        if run.is_sealed:
            return False
        found = await inspect_run(journal, run_id)
        _close_features(run, found, None)
        _end_sessions(run, found, reason)
        await run.seal(records.RunFailed(reason=reason))
        return True
    finally:
        await run.release()


async def end_what_died(journal: Journal, run_id: str) -> None:
    """As `end_run`, but work of other processes stays open, and the run with it: whoever has it goes on.

    Raises:
        JournalConflict: the run's writer is alive.
    """
    run = await Run.open(journal, run_id)
    try:
        found = await inspect_run(journal, run_id)
        _close_features(run, found, None, all_of_it=False)
        _end_sessions(run, found, Reason.PROCESS_LOST)
        await run.durable()
    finally:
        await run.release()


def _end_sessions(run: Run, found: RunInJournal, reason: Reason) -> None:
    """What is in doubt is given up, and every session ends."""
    for op_id, context in _in_doubt(found).items():
        _write(run, records.OutputDispatchReconciled(op_id=op_id, decision=Decision.ABANDONED), context)
    for state in found.sessions.values():
        _end_session(run, state, reason)
    for session_id in found.started:
        ended = records.SessionEnded(reason=found.closing.get(session_id, CloseReason.INTERNAL))
        _write(run, ended, Context(session_id=session_id))


async def _said(
    journal: Journal, controller: RealtimeSessionController, recovery: Recovery
) -> History | None:
    """What the session had said by the time its process died, as far as the journal knows."""
    if recovery.content is None:
        return None
    told = await history(journal, controller.run.run_id, session_id=controller.state.session_id)
    answers_turns = recovery.config is not None and recovery.config.create_response
    return await read_history(told, recovery.content, answers_turns=answers_turns)


async def _reconnect(
    controller: RealtimeSessionController,
    adapter: ProviderAdapter,
    recovery: Recovery,
    said: History | None,
) -> None:
    """Replace the connection. Where that fails, no connection stays of which nobody is told."""
    begun = controller.state.restarts_begun
    try:
        await controller.reconnect(
            Reason.PROCESS_LOST,
            offer_sdp=recovery.offer_sdp,
            history=None if said is None else lambda: said,
        )
        await controller.durable()  # whoever is told that the session goes on can rely on it
    except (Exception, asyncio.CancelledError):
        if controller.state.restarts_begun > begun:
            with contextlib.suppress(ProviderError, TimeoutError):
                async with asyncio.timeout(recovery.settings.deadlines.close_s):
                    await adapter.close(CloseReason.INTERNAL)
        raise


def _one_session(found: RunInJournal, session_id: str | None) -> State:
    if session_id is None and len(found.sessions) == 1:
        return next(iter(found.sessions.values()))
    if session_id is None or session_id not in found.sessions:
        names = ", ".join(found.sessions) or "none"
        raise IllegalCommand(f"say which session of run {found.run_id} is to go on; it has: {names}")
    return found.sessions[session_id]


def _close_features(run: Run, found: RunInJournal, session_id: str | None, *, all_of_it: bool = True) -> None:
    """Turns, utterances, tool calls … of a session (None: of the whole run) that died with their process."""
    for feature in found.features:
        if feature.outlives and (session_id is not None or not all_of_it):
            continue
        if session_id is None or feature.context.session_id in (None, session_id):
            _write(run, lost(feature.opener, feature.op_id), feature.context)


def _in_doubt(found: RunInJournal) -> dict[str, Context]:
    """Deliveries of which nobody knows, those included that were open until a moment ago."""
    left = {
        feature.op_id: feature.context
        for feature in found.features
        if feature.opener is records.OutputDispatchRequested
    }
    return {**found.unsettled, **left}


def _end_session(run: Run, state: State, reason: Reason) -> None:
    """A session that never asked its provider for anything leaves nothing there to end."""
    if not state.operations_total:
        return
    context = Context(session_id=state.session_id)

    def write(state: State, command: Command) -> State:
        decided = decide(state, command)
        for record in decided:
            state = evolve(state, record)
        if decided:
            run.append(decided, context)
        return state

    state = write(state, commands.Recover())
    for op_id in state.unknown:
        state = write(state, commands.Reconcile(op_id, Decision.ABANDONED))
    write(state, commands.Fail(reason))


def _write(run: Run, record: records.Record, context: Context) -> None:
    run.append([record], context)
