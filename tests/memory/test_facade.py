"""`app.memory` as an application author uses it: in the plane's process, and from another over HTTP."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest

from agentfield_rt import Agent, RealtimeError
from agentfield_rt.agent.memory import Memory, MemoryConnection
from agentfield_rt.agent.remote import serving
from agentfield_rt.agent.remote_memory import RemoteMemory
from agentfield_rt.memory import Change, MemoryAccessError, MemoryRefused, Where
from agentfield_rt.plane.memory import feed as feed_module
from tests.memory.conftest import opener_of
from tests.plane.serving import Served, served

Connected = Callable[[], AbstractAsyncContextManager[Memory]]

HERE = Where(workflow_id="run_1", session_id="sess_1", actor_id="ada")


@asynccontextmanager
async def in_process(tmp_path: Path) -> AsyncGenerator[Memory]:
    async with opener_of("memory:", tmp_path)() as (port, _):
        memory = Memory(MemoryConnection("desk", lambda: HERE))
        async with memory.connection.connected(port):
            yield memory


@asynccontextmanager
async def remote(server: Served) -> AsyncGenerator[Memory]:
    async with httpx.AsyncClient(base_url=server.url) as client:
        memory = Memory(MemoryConnection("desk", lambda: HERE))
        async with memory.connection.connected(RemoteMemory(client)):
            yield memory


@pytest.fixture(params=["in process", "remote"])
def connected(request: pytest.FixtureRequest, tmp_path: Path) -> Connected:
    if request.param == "in process":
        return lambda: in_process(tmp_path)
    server = request.getfixturevalue("server")
    return lambda: remote(server)


@dataclasses.dataclass
class Topic:
    name: str


@pytest.mark.asyncio
async def test_the_facade_is_the_same_in_every_process(connected: Connected) -> None:
    async with connected() as memory:
        await memory.set("topic", Topic("billing"))
        assert await memory.get("topic") == {"name": "billing"}
        assert await memory.get("nothing", "default") == "default"
        await memory.session("sess_2").set("topic", "other")
        assert await memory.session("sess_2").get("topic") == "other"
        assert await memory.get("topic", scope="session", scope_id="sess_2") == "other"
        await memory.actor().set("falsy", 0)
        assert await memory.exists("falsy")
        assert not await memory.global_scope.exists("falsy")
        await memory.global_scope.set("config", [1, None])
        assert await memory.global_scope.list() == {"config": [1, None]}
        await memory.global_scope.delete("config")
        assert await memory.global_scope.list_keys() == []
        assert (await memory.workflow().history(limit=1))[0].data == {"name": "billing"}


@pytest.mark.asyncio
async def test_vectors_come_from_arrays_too(connected: Connected) -> None:
    async with connected() as memory:
        await memory.set_vector("doc", np.array([1.0, 0.5], dtype=np.float32), {"page": 3})
        found = await memory.similarity_search([1, 0.5], top_k=1, filters={"page": 3})
        assert found[0]["key"] == "doc"
        assert found[0]["score"] == pytest.approx(1)
        assert found[0]["metadata"] == {"page": 3}
        await memory.delete_vector("doc")
        assert list(await memory.similarity_search([1, 0.5])) == []


@pytest.mark.asyncio
async def test_a_function_is_told_of_changes_one_after_the_other(connected: Connected) -> None:
    told: asyncio.Queue[Change] = asyncio.Queue()
    async with connected() as memory:

        @memory.session().on_change("user_*")
        async def changed(change: Change) -> None:
            if change.data == "fail":
                raise ValueError
            await told.put(change)

        async with asyncio.timeout(10):
            while told.empty():  # from another process it takes a moment until somebody listens
                await memory.session("sess_9").set("user_0", "are you there")
            await memory.session("sess_9").set("user_1", "fail")
            await memory.session("sess_9").set("other", 1)
            await memory.session("sess_9").set("user_2", 2)
            while (change := await told.get()).key != "user_2":
                assert change.key == "user_0"
        assert (change.action, change.data, change.scope_id) == ("set", 2, "sess_9")


@pytest.mark.asyncio
async def test_a_listener_that_is_too_slow_hears_of_what_comes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(feed_module, "WAITING_MAX", 2)
    gate, told = asyncio.Event(), asyncio.Queue[int]()
    async with in_process(tmp_path) as memory:

        @memory.on_change("*")
        async def changed(change: Change) -> None:
            await gate.wait()
            await told.put(change.data)

        await asyncio.sleep(0)
        for number in range(6):
            await memory.set("count", number)
        gate.set()
        async with asyncio.timeout(10):
            assert await told.get() == 0
            for number in range(6, 1_000):
                await memory.set("count", number)
                if not told.empty():
                    break
            assert await told.get() >= 6
    assert "changes came faster than they were read" in caplog.text


@pytest.mark.asyncio
async def test_what_has_no_json_form_is_refused_before_it_is_sent(connected: Connected) -> None:
    async with connected() as memory:
        for data in (object(), float("nan"), {1, 2}):
            with pytest.raises(MemoryRefused):
                await memory.set("key", data)
        for key in ("", 5):
            with pytest.raises(MemoryRefused):
                await memory.set(cast(str, key), 1)
        for embedding in ([], ["one"], [None]):
            with pytest.raises(MemoryRefused):
                await memory.set_vector("key", cast(list[float], embedding))


@pytest.mark.asyncio
async def test_an_agent_that_does_not_run_says_so() -> None:
    with pytest.raises(RealtimeError, match="desk is not running"):
        await Agent("desk").memory.set("key", 1)


@pytest.mark.asyncio
async def test_a_plane_that_is_not_there_is_told_apart_from_one_that_refuses() -> None:
    async with httpx.AsyncClient(base_url="http://127.0.0.1:9") as client:
        with pytest.raises(MemoryAccessError, match="not reached") as refused:
            await RemoteMemory(client).get(HERE, "key")
    assert not isinstance(refused.value, MemoryRefused)


def test_reasoners_remember_where_they_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = Agent("desk")

    @app.reasoner()
    async def remember(step: int) -> Any:
        await app.memory.set("step", step)
        return await app.memory.workflow().get("step")

    @app.reasoner()
    async def recall() -> Any:
        return await app.memory.get("step")

    with served(tmp_path, monkeypatch, agents=[app]) as server:
        headers = {"X-Run-ID": "run_20260101_000000_abcdef"}

        def run(target: str, **arguments: Any) -> Any:
            body = {"input": arguments}
            answer = server.post(f"/api/v1/execute/{target}", body, headers=headers)
            return answer.json()["result"]

        assert run("desk.remember", step=3) == 3
        elsewhere = server.post("/api/v1/execute/desk.recall", {"input": {}}).json()
        assert elsewhere["result"] is None
        kept = server.post(
            "/api/v1/memory/get", {"key": "step"}, headers={"X-Workflow-ID": "run_20260101_000000_abcdef"}
        )
        assert kept.json()["data"] == 3


@pytest.mark.asyncio
async def test_an_agent_elsewhere_remembers_where_it_runs(server: Served) -> None:
    app = Agent("far", server=server.url)

    @app.reasoner()
    async def remember(step: int) -> Any:
        await app.memory.set("step", step)
        return await app.memory.workflow().get("step")

    async with serving.connected(app), httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        answer = await client.post("/api/v1/execute/far.remember", json={"input": {"step": 4}})
        assert answer.json()["result"] == 4
        where = {"X-Workflow-ID": answer.json()["run_id"]}
        kept = await client.post("/api/v1/memory/get", json={"key": "step"}, headers=where)
        assert kept.json()["data"] == 4
