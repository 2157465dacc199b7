"""Executions of agents elsewhere that wait for somebody outside: asked, answered, their agent told."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentfield_journal import JournalFull
from agentfield_rt.core.records import ExecutionPaused, ExecutionResumed, PauseAnswer
from agentfield_rt.plane.errors import NotFound
from agentfield_rt.plane.executions.asking import Answer, Asking
from agentfield_rt.plane.executions.dispatch import CapabilityKind, NodeUnreachable
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.pause import Pauses, Question
from tests.nodes.agents import Plane, plane, registration
from tests.nodes.peer import Heard, Peer, answer, peer
from tests.plane.executions.stage import DONE, Elsewhere, Stage, work

pytestmark = pytest.mark.asyncio

ASKED = {"approval_request_id": "req-1", "approval_request_url": "https://people.example/1"}
ANSWER = "/webhooks/approval-response"


async def waiting(it: Plane, agent: Peer, **asked: Any) -> tuple[str, str]:
    """An execution that waits, and where its approval is."""
    agent.answers["/reasoners/think"] = answer(202, {"status": "processing"})
    await it.post("/nodes/register", registration(agent.url))
    execution_id = await it.submit("worker.think")
    await standing(it, execution_id, "running")
    path = f"/agents/worker/executions/{execution_id}"
    answered = await it.post(f"{path}/request-approval", ASKED | asked)
    assert (answered.status_code, answered.json()["status"]) == (200, "pending"), answered.text
    await standing(it, execution_id, "waiting")
    return execution_id, path


async def standing(it: Plane, execution_id: str, status: str) -> None:
    while (await it.get(f"/executions/{execution_id}")).json()["status"] != status:
        pass


def told(agent: Peer) -> Callable[[], Awaitable[Any]]:
    """Waits for what the agent is told from now on."""
    heard = asyncio.Queue[Heard]()
    agent.when_heard = lambda each: heard.put_nowait(each) if each.path == "/webhooks/approval" else None

    async def next_one() -> Any:
        async with asyncio.timeout(5):
            return (await heard.get()).json()

    return next_one


async def test_an_execution_waits_until_somebody_answers_and_its_agent_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with plane(tmp_path, monkeypatch) as it, peer() as agent:
        execution_id, path = await waiting(it, agent)
        pending = (await it.get(f"{path}/approval-status")).json()
        assert (pending["status"], pending["request_url"]) == ("pending", "https://people.example/1")
        assert (await it.post(f"{path}/request-approval", ASKED)).status_code == 200, "asked again"
        other = await it.post(f"{path}/request-approval", {"approval_request_id": "req-2"})
        assert other.status_code == 409
        hears = told(agent)
        given = {"requestId": "req-1", "decision": "approved", "feedback": "go", "response": {"by": "ada"}}
        answered = await it.post(ANSWER, given)
        assert answered.json() == {
            "status": "processed",
            "execution_id": execution_id,
            "decision": "approved",
            "new_status": "running",
        }
        heard = await hears()
        assert (heard["execution_id"], heard["approval_request_id"]) == (execution_id, "req-1")
        assert (heard["decision"], heard["feedback"], heard["response"]) == ("approved", "go", {"by": "ada"})
        again = await it.post(ANSWER, {"requestId": "req-1", "decision": "rejected"})
        assert (again.json()["status"], again.json()["decision"]) == ("already_processed", "approved")
        await standing(it, execution_id, "running")
        found = (await it.get(f"{path}/approval-status")).json()
        assert (found["status"], found["response"]["feedback"]) == ("approved", "go")
        ended = await it.post(f"/executions/{execution_id}/status", {"status": "succeeded", "result": 1})
        assert ended.status_code == 200
        assert (await it.post(ANSWER, given)).status_code == 404, "nobody waits any more"


async def test_a_question_and_an_untold_answer_outlive_the_plane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with peer() as agent:
        async with plane(tmp_path, monkeypatch) as it:
            execution_id, path = await waiting(it, agent)
        async with plane(tmp_path, monkeypatch) as it:
            await standing(it, execution_id, "waiting")
            agent.answers["/webhooks/approval"] = answer(500, {})
            envelope = {"data": {"requestId": "req-1", "response": {"action": "deny", "feedback": "no"}}}
            assert (await it.post(ANSWER, {"type": "completed", **envelope})).status_code == 200
        del agent.answers["/webhooks/approval"]
        hears = told(agent)
        async with plane(tmp_path, monkeypatch) as it:
            heard = await hears()
            assert (heard["decision"], heard["feedback"]) == ("rejected", "no")
            assert (await it.get(f"{path}/approval-status")).json()["status"] == "rejected"


async def test_an_execution_that_called_one_that_waits_is_seen_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with plane(tmp_path, monkeypatch) as it, peer() as agent:
        agent.answers["/reasoners/think"] = answer(202, {"status": "processing"})
        await it.post("/nodes/register", registration(agent.url))
        execution_id = await it.submit("worker.think")
        await standing(it, execution_id, "running")
        path = f"/agents/worker/executions/{execution_id}/awaiter-status"
        for status in ("waiting", "waiting", "running", "running"):
            assert (await it.post(path, {"status": status})).status_code == 200
            await standing(it, execution_id, status)
        assert (await it.get(path.replace("awaiter", "approval"))).status_code == 404


async def test_what_nobody_can_be_asked_or_told_of_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "k" * 32
    async with plane(tmp_path, monkeypatch, approver_key=key) as it, peer() as agent:
        execution_id, path = await waiting(it, agent)
        assert (await it.post(ANSWER, {"requestId": "req-1", "decision": "approved"})).status_code == 403
        approver = {"headers": {"X-API-Key": key}}
        for body, status in (
            ({"requestId": "req-9", "decision": "approved"}, 404),
            ({"requestId": "req-1", "decision": "perhaps"}, 400),
            ({"decision": "approved"}, 400),
        ):
            assert (await it.post(ANSWER, body, **approver)).status_code == status
        elsewhere = path.replace("/worker/", "/own/")
        assert (await it.post(f"{elsewhere}/request-approval", ASKED)).status_code == 404
        assert (await it.post(f"{path}/request-approval", {"approval_request_id": "a b"})).status_code == 400
        second = await it.submit("worker.think")
        await standing(it, second, "running")
        taken = await it.post(f"/agents/worker/executions/{second}/request-approval", ASKED)
        assert (taken.status_code, "another execution" in taken.json()["error"]) == (409, True)
        assert (await it.post(f"/executions/{execution_id}/cancel")).status_code == 200
        assert (await it.post(f"{path}/request-approval", ASKED)).status_code == 409, "it does not run"


@dataclass
class Listening(Elsewhere):
    """A node elsewhere that can be told of an answer; the first `broken` times nobody learns that it was."""

    answers: asyncio.Queue[Any] = field(default_factory=asyncio.Queue[Any])

    broken: int = 0

    async def answer(self, body: bytes) -> None:
        self.answers.put_nowait(msgspec.json.decode(body))
        self.broken -= 1
        if self.broken >= 0:
            raise NodeUnreachable("it has heard, and its answer was lost")


class SlowDisk:
    """Nothing of a run becomes durable before `go_on`; `waited` counts who waits for it."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self._waits = asyncio.Semaphore(0)

    async def durable(self, cursor: Any = None) -> None:
        self._waits.release()
        await self.go_on.wait()

    async def waited(self, times: int) -> None:
        async with asyncio.timeout(5):
            for _ in range(times):
                await self._waits.acquire()


@dataclass
class Scene:
    """An execution that runs at a node elsewhere; without HTTP: over that, an answer has an hour at least."""

    stage: Stage
    far: Listening
    asking: Asking
    execution: Execution

    async def ask(self, request_id: str, *, expires_after_s: int = 60) -> Question:
        execution_id = self.execution.execution_id
        return await self.asking.ask(
            "far", execution_id, request_id=request_id, url="", expires_after_s=expires_after_s
        )

    async def told(self) -> str:
        """What its agent is told next."""
        return str((await asyncio.wait_for(self.far.answers.get(), 5))["decision"])


@asynccontextmanager
async def scene() -> AsyncGenerator[Scene]:
    sent, stage = asyncio.Event(), Stage()
    far = Listening(seen=lambda work: sent.set())
    await stage.open()
    asking = Asking(stage.executions, stage.nodes, stage.contents, now=stage.runs.now)
    stage.nodes.replace(stage.node_of(far))
    execution = await stage.executions.submit(work())
    await asyncio.wait_for(sent.wait(), 5)
    stage.executions.began(execution.execution_id)
    yield Scene(stage, far, asking, execution)
    await asking.close()
    await stage.close()


async def test_no_answer_in_time_is_one_too() -> None:
    async with scene() as it:
        asked = await it.ask("r", expires_after_s=0)
        assert (await it.told(), asked.answer) == ("expired", PauseAnswer.EXPIRED)
        kinds = it.stage.kinds(it.execution.run_id)
        assert (it.execution.standing, kinds[-1]) == ("running", "execution_resumed")
        await it.ask("s")
        with pytest.raises(NotFound):
            await it.asking.answer(Answer(request_id="r", answer=PauseAnswer.APPROVED))


async def test_an_answer_is_told_when_it_is_durable_also_if_whoever_gave_it_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with scene() as it:
        disk = SlowDisk()
        monkeypatch.setattr(it.execution.run, "durable", disk.durable)
        questions = [asyncio.create_task(it.ask("r")) for _ in range(2)]
        await disk.waited(2)
        assert not any(each.done() for each in questions)
        given = (PauseAnswer.APPROVED, PauseAnswer.REJECTED)
        answers = [it.asking.answer(Answer(request_id="r", answer=each)) for each in given]
        first, second = map(asyncio.create_task, answers)
        await disk.waited(3)
        assert not second.done() and it.far.answers.empty()
        first.cancel()
        disk.go_on.set()
        _, asked, is_first = await second
        assert (asked.answer, is_first, await it.told()) == (PauseAnswer.APPROVED, False, "approved")
        await asyncio.gather(*questions)


async def test_an_answer_that_is_told_again_is_none_to_another_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """AgentField's SDK finds what waits by the question, and if that is not open, by the execution."""
    monkeypatch.setattr("agentfield_rt.plane.executions.asking.TELL_AGAIN_S", (0.0,))
    async with scene() as it:
        it.far.broken = 1
        await it.ask("r")
        await it.asking.answer(Answer(request_id="r", answer=PauseAnswer.APPROVED))
        first, again = [await asyncio.wait_for(it.far.answers.get(), 5) for _ in range(2)]
        assert first["execution_id"] == it.execution.execution_id != again["execution_id"]
        assert first["approval_request_id"] == again["approval_request_id"] == "r"


async def test_an_agent_that_asks_anew_before_it_is_told_is_not_told_of_the_old_answer() -> None:
    unhandled: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unhandled.append(context))
    async with scene() as it:
        await it.ask("r")
        answering = it.asking.answer(Answer(request_id="r", answer=PauseAnswer.APPROVED))
        await asyncio.gather(answering, it.ask("s"))
        await it.asking.answer(Answer(request_id="s", answer=PauseAnswer.REJECTED))
        assert await it.told() == "rejected"
    gc.collect()
    assert not unhandled


async def test_a_question_whose_execution_ends_as_it_expires_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    unhandled: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unhandled.append(context))
    async with scene() as it:
        disk = SlowDisk()
        monkeypatch.setattr(it.execution.run, "durable", disk.durable)
        asking = asyncio.create_task(it.ask("r", expires_after_s=0))
        report = asyncio.create_task(it.stage.executions.report(it.execution.execution_id, DONE))
        await disk.waited(3)  # with what tells of the end
        await asyncio.sleep(0)
        disk.go_on.set()
        await asyncio.gather(asking, report)
    gc.collect()
    assert not unhandled


async def test_a_question_that_could_not_expire_expires_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentfield_rt.plane.executions.asking.TELL_AGAIN_S", (0.0,))
    async with scene() as it:
        run: Any = it.execution.run
        append = run.append

        def full(*given: Any) -> Any:
            monkeypatch.setattr(run, "append", append)
            raise JournalFull("no room")

        asked = it.ask("r", expires_after_s=0)
        await asked
        monkeypatch.setattr(run, "append", full)
        assert await it.told() == "expired"


async def test_time_in_which_somebody_is_waited_for_is_not_the_execution_s() -> None:
    pauses = Pauses()
    pauses.take(ExecutionPaused(execution_id="e"), 10.0)
    pauses.take(ExecutionPaused(execution_id="e", request_id="r", expires_after_s=9), 12.0)
    assert (pauses.waited_s(15.0), pauses.is_asking) == (5.0, True)
    pauses.take(ExecutionResumed(execution_id="e", answer=PauseAnswer.APPROVED), 16.0)
    pauses.take(ExecutionPaused(execution_id="e"), 20.0)
    assert (pauses.waited_s(21.0), pauses.is_asking) == (7.0, False)
    execution = Execution(
        execution_id="e", run_id="r", target="a.b", kind=CapabilityKind.SKILL, created_at=0.0, input_ref="",
        time_max_s=20.0, pauses=pauses,
    )  # fmt: skip
    assert [execution.is_overdue(now) for now in (30.0, 90.0)] == [False, False]
    execution.pause(ExecutionResumed(execution_id="e"), at=30.0)
    assert [execution.is_overdue(now) for now in (36.0, 37.0)] == [False, True]
