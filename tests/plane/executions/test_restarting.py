"""Executions run again: alone, or their workflow, with what had succeeded or without."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from agentfield_rt.plane.errors import BadRequest
from agentfield_rt.plane.executions import restarting
from agentfield_rt.plane.executions.dispatch import Outcome
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.restarting import Restart, Scope
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.testing.virtual_time import in_virtual_time, time_passes
from tests.plane.executions.stage import DONE, Stage, stage, work

RUNNING, SUCCEEDED, FAILED = ExecutionStatus.RUNNING, ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED


@in_virtual_time
async def test_it_can_be_run_again_with_what_it_was_given() -> None:
    async with stage() as plane:
        first = await plane.executions.submit(work(city="Berlin"))
        await time_passes(1)
        await plane.executions.report(first.execution_id, DONE)
        again = await plane.executions.restart(first.execution_id)
        other = await plane.executions.restart(first.execution_id, Restart(arguments={"city": "Rome"}))
        await time_passes(1)
        assert [each.arguments["city"] for each in plane.elsewhere.attempts] == ["Berlin", "Berlin", "Rome"]
        assert len({first.run_id, again.run_id, other.run_id}) == 3


@asynccontextmanager
async def failed_workflow() -> AsyncGenerator[tuple[Stage, Execution, Execution]]:
    """One whose first step succeeded and whose second failed: what called them, and the second."""
    async with stage() as plane:
        top = await plane.executions.submit(work(step=0))
        first = await plane.executions.submit(work(top.run_id, top.execution_id, step=1))
        second = await plane.executions.submit(work(top.run_id, top.execution_id, step=2))
        await time_passes(1)
        await plane.executions.report(first.execution_id, DONE)
        for each in (second, top):
            await plane.executions.report(each.execution_id, Outcome(status=FAILED))
        await time_passes(1)
        plane.elsewhere.attempts.clear()
        yield plane, top, second


@in_virtual_time
async def test_a_workflow_that_is_run_again_does_not_repeat_what_had_succeeded() -> None:
    async with failed_workflow() as (plane, top, second):
        again = await plane.executions.restart(second.execution_id)
        steps = [
            await plane.executions.submit(work(again.run_id, again.execution_id, step=step))
            for step in (1, 2, 1)
        ]
        await time_passes(1)
        assert (again.target, again.run_id != top.run_id) == (top.target, True)
        assert [step.status for step in steps] == [
            SUCCEEDED,
            RUNNING,
            RUNNING,
        ]
        assert steps[0].result == {"done": True}
        assert [dict(each.arguments) for each in plane.elsewhere.attempts] == [
            {"step": 0}, {"step": 2}, {"step": 1}
        ]  # fmt: skip
        await plane.executions.report(again.execution_id, DONE)
        later = await plane.executions.submit(work(again.run_id, again.execution_id, step=1))
        await time_passes(1)
        assert later.status is RUNNING


@in_virtual_time
async def test_no_more_results_are_held_ready_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarting, "READY_MAX", 1)
    async with failed_workflow() as (plane, top, _):
        runs = [await plane.executions.restart(top.execution_id) for _ in range(2)]
        steps = [await plane.executions.submit(work(run.run_id, run.execution_id, step=1)) for run in runs]
        await time_passes(1)
        assert [step.status for step in steps] == [RUNNING, SUCCEEDED]


@in_virtual_time
async def test_one_execution_is_run_again_alone_and_anew_where_that_is_asked() -> None:
    async with failed_workflow() as (plane, top, second):
        alone = await plane.executions.restart(second.execution_id, Restart(scope=Scope.EXECUTION))
        anew = await plane.executions.restart(top.execution_id, Restart(reuses=False))
        await plane.executions.submit(work(anew.run_id, anew.execution_id, step=1))
        await time_passes(1)
        assert alone.parent_execution_id is None
        assert [dict(each.arguments) for each in plane.elsewhere.attempts] == [
            {"step": 2}, {"step": 0}, {"step": 1}
        ]  # fmt: skip
        with pytest.raises(BadRequest, match="scope 'execution'"):
            await plane.executions.restart(second.execution_id, Restart(arguments={}))
