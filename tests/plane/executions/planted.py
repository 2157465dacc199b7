"""Bugs that the machine has to find, each one line of the engine gone wrong."""

from collections.abc import Sequence

import pytest

from agentfield_journal.ports import Journal
from agentfield_rt.core import records
from agentfield_rt.plane.executions import admission, carrying, executions
from agentfield_rt.plane.executions.carrying import Carriers
from agentfield_rt.plane.executions.dispatch import Outcome
from agentfield_rt.plane.executions.execution import Execution, already_durable
from agentfield_rt.plane.executions.executions import Executions
from agentfield_rt.plane.executions.lanes import Lane
from agentfield_rt.plane.executions.ledger import Ledger
from agentfield_rt.recovery import end_run
from tests.plane.executions import stage
from tests.planting import Plant


def a_start_forgets_what_was_queued(patch: pytest.MonkeyPatch) -> None:
    async def recover(self: Executions, run_ids: Sequence[str]) -> int:
        return 0

    patch.setattr(Executions, "recover", recover)


def a_start_ends_what_goes_on_elsewhere(patch: pytest.MonkeyPatch) -> None:
    async def end_left_runs(journal: Journal, run_ids: Sequence[str]) -> list[str]:
        for run_id in run_ids:
            await end_run(journal, run_id)
        return []

    patch.setattr(stage, "end_left_runs", end_left_runs)


def a_start_sends_again_what_the_node_has(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Carriers, "resume", Carriers.send)


def doubt_is_not_waited_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(carrying, "IN_DOUBT_S", 0.5)


def an_intent_is_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    async def announce(self: Carriers, execution: Execution) -> None:
        if execution.run is not None:
            execution.attempts += 1
            execution.in_doubt = True
            intent = records.ExecutionDispatchRequested(
                execution_id=execution.execution_id, attempt=execution.attempts
            )
            execution.run.append([intent], execution.context)

    patch.setattr(Carriers, "_announce", announce)


def an_end_is_told_before_it_is_durable(patch: pytest.MonkeyPatch) -> None:
    close = Ledger.close

    def early(self: Ledger, execution: Execution, outcome: Outcome, *, at: float) -> None:
        close(self, execution, outcome, at=at)
        execution.durable = already_durable

    patch.setattr(Ledger, "close", early)


def a_submit_is_answered_before_it_is_durable(patch: pytest.MonkeyPatch) -> None:
    async def at_once(*_: object) -> None: ...

    class Hasty(Ledger):
        durable = at_once  # type: ignore[assignment]

    patch.setattr(executions, "Ledger", Hasty)
    patch.setattr(admission, "Ledger", Hasty)


def what_was_cancelled_is_sent_all_the_same(patch: pytest.MonkeyPatch) -> None:
    def drop(self: Lane, execution: Execution) -> None: ...

    def is_final(self: Execution) -> bool:
        return False

    patch.setattr(Lane, "drop", drop)
    patch.setattr(Execution, "is_final", property(is_final))


def an_end_moves(patch: pytest.MonkeyPatch) -> None:
    get = Executions.get

    async def report(self: Executions, execution_id: str, outcome: Outcome) -> Execution:
        execution = await get(self, execution_id)
        execution.status = outcome.status
        return execution

    patch.setattr(Executions, "report", report)


PLANTED: list[Plant] = [
    a_start_forgets_what_was_queued,
    a_start_ends_what_goes_on_elsewhere,
    a_start_sends_again_what_the_node_has,
    doubt_is_not_waited_out,
    an_intent_is_not_waited_for,
    an_end_is_told_before_it_is_durable,
    a_submit_is_answered_before_it_is_durable,
    what_was_cancelled_is_sent_all_the_same,
    an_end_moves,
]
