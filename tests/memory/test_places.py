"""What memory does, wherever it is kept: the same tests over each place."""

import asyncio
import json

import pytest

from agentfield_rt.memory import GLOBAL_ID, Interest, MemoryFull, MemoryRefused, Scope, Section, Where
from agentfield_rt.plane.memory import memory as memory_module
from agentfield_rt.plane.memory.memory import Memory
from agentfield_rt.plane.memory.writes import Limits
from tests.memory.conftest import Opener

HERE = Where(workflow_id="run_1", session_id="sess_1", actor_id="ada", agent_id="desk")
EVERYWHERE = Where()


async def value(memory: Memory, where: Where, key: str) -> object:
    entry = await memory.get(where, key)
    return None if entry is None else json.loads(entry.data)


@pytest.mark.asyncio
async def test_what_is_set_is_there_and_keeps_the_time_of_its_first_value(opener: Opener) -> None:
    async with opener() as (memory, _):
        first = await memory.set(HERE, "topic", b'{"of": "billing"}')
        second = await memory.set(HERE, "topic", b"null")
        found = await memory.get(HERE, "topic")
        assert first.section == Section(Scope.WORKFLOW, "run_1")
        assert found == second
        assert second.data == b"null"
        assert second.created_at_ns == first.created_at_ns < second.updated_at_ns
        assert await memory.get(HERE, "other") is None


@pytest.mark.asyncio
async def test_a_value_is_looked_for_from_the_narrowest_scope_to_the_widest(opener: Opener) -> None:
    async with opener() as (memory, _):
        for scope in reversed(Scope):
            within = Where(workflow_id="run_1", session_id="sess_1", actor_id="ada", scope=scope)
            await memory.set(within, "who", f'"{scope}"'.encode())
            assert await value(memory, HERE, "who") == scope
        assert await value(memory, EVERYWHERE, "who") == "global"
        assert await value(memory, Where(session_id="sess_2"), "who") == "global"
        assert await value(memory, Where(session_id="sess_2", scope=Scope.SESSION), "who") is None
        entry = await memory.get(EVERYWHERE, "who")
        assert entry is not None
        assert entry.section == Section(Scope.GLOBAL, GLOBAL_ID)


@pytest.mark.asyncio
async def test_deleting_says_whether_there_was_something(opener: Opener) -> None:
    async with opener() as (memory, _):
        assert not await memory.delete(HERE, "topic")
        await memory.set(HERE, "topic", b"1")
        assert await memory.delete(HERE, "topic")
        assert not await memory.delete(HERE, "topic")
        assert await memory.get(HERE, "topic") is None


@pytest.mark.asyncio
async def test_all_values_of_a_scope_are_listed_by_key(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_module, "_PAGE_ROWS", 2)
    async with opener() as (memory, _):
        assert await memory.entries(HERE) == []
        await asyncio.gather(*(memory.set(HERE, f"key {n}", str(n).encode()) for n in range(7)))
        await memory.set(Where(session_id="sess_1"), "another's", b"0")
        found = await memory.entries(HERE)
        assert [(entry.key, entry.data) for entry in found] == [
            (f"key {n}", str(n).encode()) for n in range(7)
        ]


@pytest.mark.asyncio
async def test_writes_that_come_together_are_done_in_their_order(opener: Opener) -> None:
    async with opener() as (memory, _):
        await memory.set(HERE, "count", b"0")
        await asyncio.gather(*(memory.set(HERE, "count", str(n).encode()) for n in range(1, 20)))
        changes = await memory.history(Interest())
        assert [change.previous_data for change in changes[1:]] == [change.data for change in changes[:-1]]
        assert await value(memory, HERE, "count") == changes[-1].data


@pytest.mark.asyncio
async def test_a_full_scope_takes_nothing_more_and_can_be_emptied(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_module, "VALUES", Limits(rows_max=3, bytes_max=1_000))
    async with opener() as (memory, _):
        for key in "abc":
            await memory.set(HERE, key, b"1")
        with pytest.raises(MemoryFull, match="takes 3 values"):
            await memory.set(HERE, "d", b"1")
        await memory.set(HERE, "a", b"2")
        with pytest.raises(MemoryFull):
            await memory.set(HERE, "a", b'"%b"' % (b"x" * 2_000))
        await memory.delete(HERE, "a")
        await memory.set(HERE, "d", b"1")
        assert [entry.key for entry in await memory.entries(HERE)] == ["b", "c", "d"]


@pytest.mark.asyncio
async def test_what_was_kept_is_there_in_the_next_process(lasting: Opener) -> None:
    async with lasting() as (memory, _):
        await memory.set(HERE, "topic", b'"billing"')
        await memory.set_vector(HERE, "doc", embedding=[1, 0], metadata={"page": 1})
    async with lasting() as (memory, _):
        assert await value(memory, HERE, "topic") == "billing"
        assert len(await memory.search(HERE, [1, 0], top_k=5, filters={})) == 1


@pytest.mark.asyncio
async def test_what_is_about_somebody_goes_when_they_are_erased(opener: Opener) -> None:
    async with opener() as (memory, content):
        session = Where(session_id="sess_1")
        await memory.set(session, "name", b'"Ada"')
        await memory.set(Where(workflow_id="run_1"), "step", b"1")
        await memory.set_vector(session, "doc", embedding=[1.0], metadata={})
        await memory.set(EVERYWHERE, "open", b"true")
        await content.erase("sess_1")
        assert await memory.get(session, "name") is None
        assert await memory.get(Where(workflow_id="run_1"), "step") is None
        assert await memory.search(session, [1.0], top_k=1, filters={}) == []
        assert await memory.entries(Where(session_id="sess_1")) == []
        assert [change.key for change in await memory.history(Interest())] == ["open"]
        assert await value(memory, EVERYWHERE, "open") is True
        await memory.set(session, "name", b'"Grace"')
        assert [entry.data for entry in await memory.entries(session)] == [b'"Grace"']


@pytest.mark.asyncio
async def test_what_nobody_can_read_any_more_is_swept_away(opener: Opener) -> None:
    async with opener() as (memory, content):
        for number in range(3):
            await memory.set(Where(session_id=f"sess_{number}"), "name", b"1")
        await content.erase("sess_1")
        assert await memory.sweep() == 1
        assert await memory.sweep() == 0
        assert await value(memory, Where(session_id="sess_2"), "name") == 1


@pytest.mark.asyncio
async def test_the_most_similar_vectors_come_first(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "_PAGE_ROWS", 2)
    async with opener() as (memory, _):
        vectors = {"same": [2, 0], "near": [1, 1], "across": [0, 3], "against": [-1, 0], "zero": [0, 0]}
        for key, embedding in vectors.items():
            await memory.set_vector(HERE, key, embedding=embedding, metadata={"even": len(key) % 2 == 0})
        await memory.set_vector(HERE, "other", embedding=[1, 0, 0], metadata={})
        found = await memory.search(HERE, [1, 0], top_k=10, filters={})
        assert [match["key"] for match in found] == ["same", "near", "across", "zero", "against"]
        assert [match["score"] for match in found] == pytest.approx([1, 0.5**0.5, 0, 0, -1])
        assert [match["distance"] for match in found] == pytest.approx([0, 1 - 0.5**0.5, 1, 1, 2])
        even = await memory.search(HERE, [1, 0], top_k=2, filters={"even": True})
        assert [match["key"] for match in even] == ["same", "near"]
        assert await memory.delete_vector(HERE, "same")
        assert not await memory.delete_vector(HERE, "same")
        assert (await memory.search(HERE, [1, 0], top_k=1, filters={}))[0]["key"] == "near"


@pytest.mark.asyncio
@pytest.mark.parametrize("key", ["", "x" * 513, "\ud800"])
async def test_a_key_that_is_none_is_refused(opener: Opener, key: str) -> None:
    async with opener() as (memory, _):
        with pytest.raises(MemoryRefused):
            await memory.set(HERE, key, b"1")


@pytest.mark.asyncio
async def test_a_scope_that_nobody_is_named_for_is_refused(opener: Opener) -> None:
    async with opener() as (memory, _):
        with pytest.raises(MemoryRefused, match="X-Actor-ID"):
            await memory.set(Where(session_id="sess_1", scope=Scope.ACTOR), "key", b"1")
