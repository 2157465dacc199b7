"""Executions without HTTP: accepted when durable, one outcome each, runs sealed when nobody holds them."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from pydantic import BaseModel

from agentfield_journal import Cursor, JournalUnavailable, QueuedContentStore, StoreJournal
from agentfield_journal.content.store import MemoryContent
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt import Agent, ExecutionFailed
from agentfield_rt.config import Settings
from agentfield_rt.errors import Reason
from agentfield_rt.plane.app import create_app
from agentfield_rt.plane.executions.admission import DEPTH_MAX
from agentfield_rt.plane.executions.executions import Executions
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.plane.nodes import Nodes
from agentfield_rt.plane.nodes.in_process import in_process_node
from agentfield_rt.plane.runs import Runs
from agentfield_rt.run import Run
from agentfield_rt.voice.link import ExecutionRequest

pytestmark = pytest.mark.usefixtures("clean_journals")

RUN = "run_1"


class Report(BaseModel):
    lines: list[str]


@dataclass
class Office:
    """Executions over a journal in memory."""

    executions: Executions
    runs: Runs
    journal: StoreJournal

    async def kinds(self, run_id: str = RUN) -> list[str]:
        return [envelope.kind for envelope in await self.journal.read(run_id)]


def request(name: str, **arguments: Any) -> ExecutionRequest:
    return ExecutionRequest(target=f"desk.{name}", arguments=arguments, run_id=RUN)


@asynccontextmanager
async def office() -> AsyncGenerator[Office]:
    app = Agent("desk")

    @app.reasoner()
    async def double(number: int) -> int:
        return number * 2

    @app.reasoner()
    async def report() -> Report:
        return Report(lines=["a", "b"])

    @app.reasoner()
    async def strange() -> object:
        return object()

    @app.reasoner()
    async def half_a_character() -> str:
        return "\ud800"

    @app.reasoner()
    async def half_an_error() -> str:
        raise ValueError("\ud800")

    @app.reasoner()
    async def leaves() -> None:
        sys.exit(1)

    @app.reasoner()
    async def gathers() -> None:
        raise BaseExceptionGroup("what some task groups raise", [asyncio.CancelledError()])

    @app.reasoner()
    async def again() -> int:
        return int(await app.call("desk.again"))

    @app.reasoner()
    async def waits() -> None:
        await asyncio.Event().wait()

    journal, content = StoreJournal(MemoryStore()), QueuedContentStore(MemoryContent())
    runs = Runs(journal)
    executions = Executions(runs, Nodes([in_process_node(app)]), content)
    app.bind(executions)
    try:
        yield Office(executions, runs, journal)
    finally:
        await executions.close()
        await journal.close()
        await content.close()


async def sealed(office: Office) -> None:
    """Return once the run has its last record."""
    async for envelope in office.journal.subscribe(RUN):
        if envelope.kind in ("run_completed", "run_failed"):
            return


@pytest.mark.asyncio
async def test_an_execution_has_one_outcome_and_its_run_is_sealed_after_it() -> None:
    async with office() as desk:
        assert await desk.executions.execute(request("double", number=4)) == 8
        await sealed(desk)
        assert await desk.kinds() == ["execution_queued", "execution_succeeded", "run_completed"]
        again = await desk.executions.submit(request("double", number=4))
        assert (again.workflow_id, again.run_id != RUN) == (RUN, True)
        assert await desk.kinds() == ["execution_queued", "execution_succeeded", "run_completed"]


@pytest.mark.asyncio
async def test_a_model_is_a_result_like_any_other() -> None:
    async with office() as desk:
        assert await desk.executions.execute(request("report")) == {"lines": ["a", "b"]}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["strange", "half_a_character", "half_an_error", "leaves", "gathers"])
async def test_a_reasoner_without_a_result_fails_its_execution_only(name: str) -> None:
    async with office() as desk:
        execution = await desk.executions.submit(request(name))
        await execution.finished.wait()
        assert (execution.status, execution.reason) == (ExecutionStatus.FAILED, Reason.HANDLER_ERROR)
        assert execution.result is None
        assert msgspec.json.encode(execution.error)
        await sealed(desk)


@pytest.mark.asyncio
async def test_a_reasoner_that_calls_itself_for_ever_is_stopped() -> None:
    async with office() as desk:
        with pytest.raises(ExecutionFailed):
            await desk.executions.execute(request("again"))
        await sealed(desk)
        kinds = await desk.kinds()
        assert kinds.count("execution_queued") == kinds.count("execution_failed") == DEPTH_MAX + 1


@pytest.mark.asyncio
@pytest.mark.parametrize("number", [object(), "\ud800"])
async def test_arguments_that_are_no_json_are_refused_and_leave_no_run_behind(number: object) -> None:
    async with office() as desk:
        with pytest.raises(ExecutionFailed) as caught:
            await desk.executions.execute(request("double", number=number))
        assert caught.value.reason is Reason.INVALID_REQUEST
        assert await desk.kinds() == []
        assert await desk.executions.execute(request("double", number=1)) == 2


@pytest.mark.asyncio
async def test_a_caller_who_gives_up_at_any_moment_leaves_one_outcome_and_a_sealed_run() -> None:
    for turns in range(12):
        async with office() as desk:
            calling = asyncio.create_task(desk.executions.execute(request("double", number=4)))
            for _ in range(turns):
                await asyncio.sleep(0)
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)
            if not await desk.kinds() and turns < 3:
                continue  # nothing was accepted yet
            await asyncio.wait_for(sealed(desk), 5)
            kinds = await desk.kinds()
            assert kinds[0] == "execution_queued"
            assert len(kinds) == 3


@pytest.mark.asyncio
@pytest.mark.parametrize("turns", [0, 1, 5])
async def test_closing_cancels_what_runs_and_records_it(turns: int) -> None:
    async with office() as desk:
        execution = await desk.executions.submit(request("waits"))
        for _ in range(turns):
            await asyncio.sleep(0)
        await desk.executions.close()
        assert execution.status is ExecutionStatus.CANCELLED
        assert await desk.kinds() == ["execution_queued", "execution_cancelled", "run_completed"]


@pytest.mark.asyncio
async def test_nobody_waits_for_ever_when_the_journal_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with office() as desk:
        waiting = asyncio.create_task(desk.executions.execute(request("waits")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await desk.journal.close()
        await desk.executions.close()
        with pytest.raises(ExecutionFailed):
            await asyncio.wait_for(waiting, 5)


@pytest.mark.asyncio
async def test_an_execution_that_could_not_be_made_durable_was_never_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fails(self: Run, cursor: Cursor | None = None) -> None:
        raise JournalUnavailable("the disk does not answer")

    async with office() as desk:
        monkeypatch.setattr(Run, "durable", fails)
        with pytest.raises(JournalUnavailable):
            await desk.executions.submit(request("double", number=4))
        await asyncio.wait_for(sealed(desk), 5)
        assert await desk.kinds() == ["execution_queued", "execution_cancelled", "run_completed"]


@asynccontextmanager
async def served_from_here(data: Path) -> AsyncGenerator[tuple[httpx.AsyncClient, str, asyncio.Event]]:
    """A server on this loop, the path of an execution that runs on it, and the event it waits for."""
    app, go_on = Agent("desk"), asyncio.Event()

    @app.reasoner()
    async def waits() -> int:
        await go_on.wait()
        return 8

    served = create_app([app], settings=Settings(data=data))
    async with served.router.lifespan_context(served):
        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080") as client:
            answer = await client.post("/api/v1/execute/async/desk.waits", json={"input": {}})
            yield client, f"/api/v1/executions/{answer.json()['execution_id']}", go_on


async def final(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    """Ask until it is over."""
    while True:
        await asyncio.sleep(0)  # on one loop, an answer without any waiting lets nobody else run
        execution: dict[str, Any] = (await client.get(path)).json()
        if execution["status"] not in ("queued", "running"):
            return execution


@pytest.mark.asyncio
async def test_over_http_an_execution_is_over_when_its_outcome_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_durable = Run.durable
    asked, disk = asyncio.Event(), asyncio.Event()

    async def held(self: Run, cursor: Cursor | None = None) -> None:
        asked.set()
        await disk.wait()
        await really_durable(self, cursor)

    async with served_from_here(tmp_path) as (client, path, go_on):
        monkeypatch.setattr(Run, "durable", held)
        go_on.set()
        asking = asyncio.create_task(final(client, path))
        await asyncio.wait_for(asked.wait(), 5)
        done, _ = await asyncio.wait({asking}, timeout=0.05)
        assert not done
        disk.set()
        told = await asking
        assert (told["status"], told["result"]) == ("succeeded", 8)


@pytest.mark.asyncio
async def test_over_http_an_outcome_that_could_not_be_made_durable_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(self: Run, cursor: Cursor | None = None) -> None:
        raise JournalUnavailable("the disk does not answer")

    async with served_from_here(tmp_path) as (client, path, go_on):
        monkeypatch.setattr(Run, "durable", fails)
        go_on.set()
        while (answer := await client.get(path)).status_code == 200:
            assert answer.json()["status"] in ("queued", "running")
            await asyncio.sleep(0)
        assert answer.status_code == 503
        assert "result" not in answer.json()
