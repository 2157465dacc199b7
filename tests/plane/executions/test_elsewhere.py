"""Work for a node in another process: it gets there once, whatever happens on the way."""

import asyncio
from collections.abc import Callable

import pytest

from agentfield_journal import JournalFull, JournalUnavailable
from agentfield_journal.errors import RunLeased
from agentfield_rt.errors import Reason
from agentfield_rt.plane.errors import Busy, Conflict, NotFound
from agentfield_rt.plane.executions import admission
from agentfield_rt.plane.executions.carrying import IN_DOUBT_S, IN_DOUBT_TIMES_MAX
from agentfield_rt.plane.executions.dispatch import Dispatch, Outcome
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.plane.executions.submission import Extras
from agentfield_rt.plane.nodes import Lifecycle
from agentfield_rt.run import Run
from agentfield_rt.testing.virtual_time import in_virtual_time, time_passes
from agentfield_rt.voice.link import ExecutionRequest
from tests.plane.executions.stage import DONE, Stage, stage, work

SUCCEEDED, FAILED, CANCELLED = ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED


@in_virtual_time
async def test_a_node_that_accepts_is_given_the_work_once_and_reports_later() -> None:
    async with stage() as plane:
        execution = await plane.executions.submit(work(city="Berlin"))
        await time_passes(1)
        assert execution.status is ExecutionStatus.RUNNING
        assert [dict(each.arguments) for each in plane.elsewhere.attempts] == [{"city": "Berlin"}]
        await plane.executions.report(execution.execution_id, DONE)
        assert (execution.status, execution.result) == (SUCCEEDED, {"done": True})
        await time_passes(3600)
        assert plane.kinds(execution.run_id) == [
            "execution_queued",
            "execution_dispatch_requested",
            "execution_started",
            "execution_succeeded",
            "run_completed",
        ]
        assert len(plane.elsewhere.attempts) == 1


@in_virtual_time
async def test_a_node_that_answers_with_the_result_need_not_report() -> None:
    async with stage() as plane:
        plane.elsewhere.acts.append("answer")
        assert await plane.executions.execute(work()) == {"done": True}


@in_virtual_time
async def test_what_is_said_of_a_failure_for_programs_is_kept_for_the_next_process() -> None:
    async with stage() as plane:
        execution = await plane.executions.submit(work())
        await time_passes(1)
        said = Outcome(
            status=FAILED, error="sold out", error_details={"left": 0}, reason=Reason.HANDLER_ERROR
        )
        await plane.executions.report(execution.execution_id, said)
        await time_passes(1)
        await plane.close()
        await plane.open()
        found = await plane.executions.get(execution.execution_id)
        assert (found.error, found.error_details_json) == ("sold out", b'{"left":0}')


@in_virtual_time
async def test_a_node_that_cannot_be_reached_is_tried_again_until_it_can() -> None:
    async with stage() as plane:
        plane.elsewhere.acts.extend(["unreachable"] * 5)
        execution = await plane.executions.submit(work())
        await time_passes(60)
        assert len(plane.elsewhere.attempts) == 6
        assert plane.kinds(execution.run_id).count("execution_not_dispatched") == 5
        assert execution.accepted


@in_virtual_time
async def test_a_node_that_is_away_is_not_tried_until_it_is_heard_of() -> None:
    async with stage() as plane:
        plane.becomes(Lifecycle.OFFLINE)
        execution = await plane.executions.submit(work(city="Berlin"))
        await time_passes(3600)
        assert (plane.elsewhere.attempts, execution.arguments) == ([], None)
        plane.becomes(Lifecycle.READY)
        await time_passes(1)
        assert [dict(each.arguments) for each in plane.elsewhere.attempts] == [{"city": "Berlin"}]


@in_virtual_time
@pytest.mark.parametrize("act", ["lost", "begun"])
async def test_in_doubt_the_report_is_waited_for_before_it_is_sent_again_under_the_same_id(act: str) -> None:
    async with stage() as plane:
        plane.elsewhere.acts.append(act)
        execution = await plane.executions.submit(work())
        await time_passes(IN_DOUBT_S - 1)
        assert len(plane.elsewhere.attempts) == 1
        if act == "begun":
            await plane.executions.report(execution.execution_id, DONE)
        await time_passes(3600)
        assert plane.elsewhere.ids() == [execution.execution_id] * (1 if act == "begun" else 2)


@in_virtual_time
async def test_work_that_its_node_does_not_live_through_is_given_up() -> None:
    async with stage() as plane:
        plane.elsewhere.acts.extend(["lost"] * 100)
        execution = await plane.executions.submit(work())
        await time_passes(3600)
        assert (execution.status, execution.reason) == (FAILED, Reason.CONNECTION_LOST)
        assert len(plane.elsewhere.attempts) == IN_DOUBT_TIMES_MAX


@in_virtual_time
async def test_work_that_its_node_says_it_has_is_not_given_up_when_the_connection_breaks_once_more() -> None:
    async with stage() as plane:

        def last_time(work: Dispatch) -> None:
            if len(plane.elsewhere.attempts) == IN_DOUBT_TIMES_MAX:
                plane.executions.began(work.execution_id)

        plane.elsewhere.seen = last_time
        plane.elsewhere.acts.extend(["begun"] * IN_DOUBT_TIMES_MAX)
        execution = await plane.executions.submit(work())
        await time_passes(3600)
        assert not execution.is_final
        await plane.executions.report(execution.execution_id, DONE)
        assert execution.status is SUCCEEDED


@in_virtual_time
async def test_a_report_that_overtakes_the_answer_counts() -> None:
    async with stage() as plane:
        plane.elsewhere.acts.append("hold")
        execution = await plane.executions.submit(work())
        await time_passes(1)
        await plane.executions.report(execution.execution_id, DONE)
        plane.elsewhere.go_on.set()
        await time_passes(3600)
        assert execution.status is SUCCEEDED
        assert plane.kinds(execution.run_id)[-2:] == ["execution_succeeded", "run_completed"]
        assert plane.elsewhere.cancelled == []


@in_virtual_time
async def test_a_report_that_cannot_be_recorded_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with stage() as plane:
        execution = await plane.executions.submit(work())
        await time_passes(1)

        def full(*_: object) -> None:
            raise JournalFull("no room")

        with monkeypatch.context() as patch, pytest.raises(JournalFull):
            patch.setattr(Run, "append", full)
            await plane.executions.report(execution.execution_id, DONE)
        assert (execution.is_final, execution.result_json, execution.result_ref) == (False, None, None)
        await plane.executions.report(execution.execution_id, Outcome(status=FAILED, error="no"))
        assert (execution.status, execution.result, execution.error) == (FAILED, None, "no")


@in_virtual_time
async def test_a_report_that_comes_while_the_plane_stops_is_taken_by_the_next() -> None:
    async with stage() as plane:
        execution = await plane.executions.submit(work())
        await time_passes(1)
        await plane.executions.close()
        with pytest.raises(JournalUnavailable):
            await plane.executions.report(execution.execution_id, DONE)
        await plane.close()
        await plane.open()
        done = await plane.executions.report(execution.execution_id, DONE)
        assert (done.status, plane.kinds(execution.run_id).count("execution_succeeded")) == (SUCCEEDED, 1)


@in_virtual_time
async def test_an_end_never_moves() -> None:
    failed = Outcome(status=FAILED, error="no", reason=Reason.HANDLER_ERROR)
    async with stage() as plane:
        execution = await plane.executions.submit(work())
        await plane.executions.report(execution.execution_id, failed)
        await plane.executions.report(execution.execution_id, failed)
        for other in (DONE, Outcome(status=CANCELLED)):
            with pytest.raises(Conflict):
                await plane.executions.report(execution.execution_id, other)
        with pytest.raises(Conflict):
            await plane.executions.cancel(execution.execution_id)
        with pytest.raises(NotFound):
            await plane.executions.report("exec_nobody", DONE)
        assert (execution.status, execution.error) == (FAILED, "no")


@in_virtual_time
async def test_cancelling_ends_what_was_called_too_and_tells_the_node() -> None:
    async with stage() as plane:
        outer = await plane.executions.submit(work())
        await time_passes(1)
        inner = await plane.executions.submit(work(outer.run_id, outer.execution_id))
        here = await plane.executions.submit(
            ExecutionRequest(
                target="near.waits",
                arguments={},
                run_id=outer.run_id,
                parent_execution_id=inner.execution_id,
            )
        )
        await time_passes(1)
        await plane.executions.cancel(outer.execution_id)
        assert {each.status for each in (outer, inner, here)} == {CANCELLED}
        await plane.executions.cancel(outer.execution_id)
        await plane.executions.report(inner.execution_id, Outcome(status=CANCELLED))
        await time_passes(1)
        assert plane.elsewhere.cancelled == [outer.execution_id, inner.execution_id]
        assert plane.kinds(outer.run_id)[-1] == "run_completed"


@in_virtual_time
async def test_what_is_cancelled_while_it_waits_is_never_sent() -> None:
    async with stage() as plane:
        plane.becomes(Lifecycle.OFFLINE)
        execution = await plane.executions.submit(work())
        await plane.executions.cancel(execution.execution_id)
        plane.becomes(Lifecycle.READY)
        await time_passes(60)
        assert (plane.elsewhere.attempts, plane.elsewhere.cancelled) == ([], [])


@in_virtual_time
async def test_what_nobody_reports_on_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "TIME_MAX_S", 60.0)
    async with stage() as plane:
        execution = await plane.executions.submit(work())
        await time_passes(55)
        assert execution.status is ExecutionStatus.RUNNING
        await time_passes(10)
        assert (execution.status, execution.reason) == (ExecutionStatus.TIMEOUT, Reason.TIMEOUT)
        assert plane.elsewhere.cancelled == [execution.execution_id]


@in_virtual_time
async def test_a_node_that_starts_anew_loses_what_it_had_begun_and_gets_what_waits() -> None:
    async with stage() as plane:
        begun = await plane.executions.submit(work())
        await time_passes(1)
        plane.becomes(Lifecycle.OFFLINE)
        waiting = await plane.executions.submit(work())
        plane.executions.fail_orphans("far", "agent_restart_orphaned: another instance registered")
        plane.becomes(Lifecycle.READY)
        await time_passes(1)
        assert (begun.status, begun.reason) == (FAILED, Reason.AGENT_RESTART_ORPHANED)
        assert waiting.accepted


@in_virtual_time
async def test_a_key_means_the_same_execution_now_and_in_the_next_process() -> None:
    async with stage() as plane:
        key = Extras(idempotency_key="order 7")
        together = [plane.executions.submit(work(n=1), extras=key) for _ in range(3)]
        first, *others = await asyncio.gather(*together)
        assert [other.execution_id for other in others] == [first.execution_id] * 2
        await plane.executions.report(first.execution_id, DONE)
        await time_passes(1)
        await plane.close()
        await plane.open()
        again = await plane.executions.submit(work(n=1), extras=key)
        assert (again.execution_id, again.result) == (first.execution_id, {"done": True})
        with pytest.raises(Conflict):
            await plane.executions.submit(work(n=2), extras=key)
        assert len(plane.elsewhere.attempts) == 1


@in_virtual_time
async def test_a_key_finds_what_was_accepted_while_another_process_had_its_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with stage() as plane:
        run_id = (await plane.executions.submit(work())).run_id
        hold = plane.runs.hold

        async def leased(wanted: str) -> Run:
            if wanted == run_id:
                raise RunLeased(run_id=wanted, holder="another", ends_at_ns=0, ends_in_s=0.0)
            return await hold(wanted)

        monkeypatch.setattr(plane.runs, "hold", leased)
        key = Extras(idempotency_key="order 7")
        first = await plane.executions.submit(work(run_id, n=1), extras=key)
        await plane.executions.report(first.execution_id, DONE)
        await plane.close()
        await plane.open()
        again = await plane.executions.submit(work(run_id, n=1), extras=key)
        assert (again.run_id, again.result) == (first.run_id, {"done": True})


@in_virtual_time
async def test_more_than_may_be_open_is_refused_but_not_what_others_wait_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "OPEN_MAX", 2)
    monkeypatch.setattr(admission, "OPEN_NESTED_MAX", 3)
    async with stage() as plane:
        outer = await plane.executions.submit(work())
        await plane.executions.submit(work())
        with pytest.raises(Busy) as refused:
            await plane.executions.submit(work())
        assert refused.value.retry_after_s == 1
        await plane.executions.submit(work(outer.run_id, outer.execution_id))
        with pytest.raises(Busy):
            await plane.executions.submit(work(outer.run_id, outer.execution_id))


async def _queued(plane: Stage) -> None:
    plane.becomes(Lifecycle.OFFLINE)


async def _accepted(plane: Stage) -> None:
    await time_passes(1)


async def _in_doubt(plane: Stage) -> None:
    plane.elsewhere.acts.append("hold")


@pytest.mark.parametrize("ends", ["killed", "closed"])
@pytest.mark.parametrize(
    ("before", "attempts_before", "attempts_after"), [(_queued, 0, 1), (_accepted, 1, 1), (_in_doubt, 1, 2)]
)
def test_the_next_plane_goes_on_with_what_the_last_one_accepted(
    ends: str, before: Callable[[Stage], object], attempts_before: int, attempts_after: int
) -> None:
    @in_virtual_time
    async def scene() -> None:
        async with stage() as plane:
            if before is not _accepted:
                await before(plane)  # type: ignore[misc]
            execution = await plane.executions.submit(work(city="Berlin"))
            await time_passes(1)
            assert len(plane.elsewhere.attempts) == attempts_before
            if ends == "killed":
                plane.kill()
            else:
                await plane.close()
            plane.lifecycle = Lifecycle.READY
            await plane.open()
            found = await plane.executions.get(execution.execution_id)
            await time_passes(IN_DOUBT_S - 1)
            assert len(plane.elsewhere.attempts) == max(1, attempts_before)
            await time_passes(2)
            assert plane.elsewhere.ids() == [execution.execution_id] * attempts_after
            await plane.executions.report(execution.execution_id, DONE)
            assert found.result == {"done": True}
            await time_passes(1)
            assert plane.kinds(execution.run_id)[-1] == "run_completed"

    scene()


@in_virtual_time
async def test_of_a_run_only_what_ran_here_ends_with_the_process() -> None:
    async with stage() as plane:
        far = await plane.executions.submit(work())
        await plane.executions.submit(ExecutionRequest(target="near.waits", arguments={}, run_id=far.run_id))
        await time_passes(1)
        plane.kill()
        await plane.open()
        assert plane.kinds(far.run_id).count("execution_failed") == 1
        await plane.executions.report(far.execution_id, DONE)
        await time_passes(1)
        assert plane.kinds(far.run_id)[-2:] == ["execution_succeeded", "run_completed"]
