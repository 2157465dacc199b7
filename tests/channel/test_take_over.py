"""What becomes of a session whose agent loses its wire, its life, or its turn to another instance."""

import asyncio
from typing import Any

import pytest

from agentfield_rt import RealtimeSession, SessionClosed
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import Reason
from agentfield_rt.frames import Usage, UsageReported
from agentfield_rt.plane.channel.fleet import ChannelNode
from agentfield_rt.voice.link import Handler, SessionLink
from tests.channel.elsewhere import Elsewhere, Process, elsewhere
from tests.virtual_time import in_virtual_time, time_passes
from tests.voice import call as stage
from tests.voice.call import VoiceCall, voice_call


async def says(call: VoiceCall, text: str, *, s: float = 1) -> None:
    """The user says something, and `s` seconds pass."""
    await call.user_says(text)
    await time_passes(s)


async def heard(call: VoiceCall) -> list[str]:
    """What the caller heard, utterance by utterance."""
    played = await call.of_kind(records.UtterancePlayed)
    return [await call.text_of(record.heard_ref) for record in played]


async def turns(call: VoiceCall, kind: type[Record]) -> list[str]:
    """The ids of the turns that ended so."""
    return [record.op_id for record in await call.of_kind(kind)]


@pytest.fixture
def handled_by(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets the handlers of this test run at an `Elsewhere` of its own."""

    def use(there: Elsewhere) -> Any:
        async def handle(link: SessionLink) -> None:
            await there.run(link)

        def handler_of(_: object) -> Handler:
            return handle

        monkeypatch.setattr(stage, "handler_of", handler_of)

    return use


def repeats(name: str) -> Any:
    async def repeat(session: RealtimeSession) -> None:
        async for turn in session.turns():
            await session.say(f"{name} says {turn.text}")

    return repeat


def sticks(seen: list[str]) -> Any:
    async def stick(session: RealtimeSession) -> None:
        async for turn in session.turns():
            seen.append(turn.text)
            await asyncio.Event().wait()

    return stick


@in_virtual_time
async def test_a_wire_that_breaks_costs_neither_a_turn_nor_a_word(handled_by: Any) -> None:
    async with elsewhere(lease_s=10) as there:
        handled_by(there)
        agent = await there.start(repeats("one"))
        async with voice_call(repeats(""), beside_others=True) as call:
            await says(call, "a")
            agent.dialer.wires[-1].cut()
            await says(call, "b", s=5)
            assert await heard(call) == ["one says a", "one says b"]
            assert len(agent.dialer.wires) == 2
            assert not await turns(call, records.TurnFailed)


@in_virtual_time
async def test_a_word_that_was_on_its_way_when_the_wire_broke_is_said_once(handled_by: Any) -> None:
    async with elsewhere(lease_s=10) as there:
        handled_by(there)
        agent = await there.start(repeats("one"))
        async with voice_call(repeats(""), beside_others=True) as call:
            wire = agent.dialer.wires[-1]
            wire.is_held = True  # the agent speaks, and nobody has heard it yet
            await call.user_says("a")
            assert not await call.of_kind(records.UtteranceRequested)
            wire.cut()
            await time_passes(5)
            assert await heard(call) == ["one says a"]
            assert len(await call.of_kind(records.UtteranceRequested)) == 1


@in_virtual_time
async def test_another_instance_answers_the_turn_that_a_dead_one_took(handled_by: Any) -> None:
    seen: list[str] = []
    async with elsewhere() as there:
        handled_by(there)
        first = await there.start(sticks(seen))
        async with voice_call(repeats(""), beside_others=True) as call:
            await call.user_says("a")
            assert seen == ["a"]
            await there.start(repeats("two"))
            await first.kill()
            await time_passes(3)
            assert await heard(call) == ["two says a"]
            started = (await call.of_kind(records.TurnStarted))[0]
            await says(call, "b")
            assert (await turns(call, records.TurnCompleted))[0] == started.op_id
            assert not await turns(call, records.TurnFailed)


@in_virtual_time
async def test_a_turn_that_was_answered_is_not_answered_again_by_another_instance(handled_by: Any) -> None:
    async def answers_and_sticks(session: RealtimeSession) -> None:
        turn = await session.input()
        session.say(f"one says {turn.text}")
        await asyncio.Event().wait()

    async with elsewhere() as there:
        handled_by(there)
        first = await there.start(answers_and_sticks)
        async with voice_call(repeats(""), beside_others=True) as call:
            await says(call, "a")
            await there.start(repeats("two"))
            await first.kill()
            await time_passes(3)
            await says(call, "b")
            assert await heard(call) == ["one says a", "two says b"]


@in_virtual_time
async def test_a_turn_fails_when_the_lease_of_its_only_agent_runs_out(handled_by: Any) -> None:
    seen: list[str] = []
    async with elsewhere() as there:
        handled_by(there)
        first = await there.start(sticks(seen))
        async with voice_call(repeats(""), apology="sorry", beside_others=True) as call:
            await call.user_says("a")
            await first.kill()
            await time_passes(2)
            failed = (await call.of_kind(records.TurnFailed))[0]
            assert failed.reason is Reason.PROCESS_LOST
            assert await heard(call) == ["sorry"]
            await there.start(repeats("two"))
            await says(call, "b")
            assert await heard(call) == ["sorry", "two says b"]


@in_virtual_time
async def test_an_idle_session_outlives_its_agent_in_silence(handled_by: Any) -> None:
    async with elsewhere() as there:
        handled_by(there)
        first = await there.start(repeats("one"))
        async with voice_call(repeats(""), apology="sorry", beside_others=True) as call:
            await says(call, "a")
            await call.settle()
            await first.kill()
            await time_passes(5)
            await there.start(repeats("two"))
            await says(call, "b")
            assert await heard(call) == ["one says a", "two says b"]


@in_virtual_time
async def test_nobody_hears_an_instance_whose_lease_ran_out_when_it_comes_back(handled_by: Any) -> None:
    go_on = asyncio.Event()
    ended: list[str] = []

    async def late(session: RealtimeSession) -> None:
        turn = await session.input()
        try:
            await go_on.wait()
            session.say(f"late says {turn.text}")
        except (asyncio.CancelledError, SessionClosed) as error:
            ended.append(type(error).__name__)
            raise

    async with elsewhere() as there:
        handled_by(there)
        first = await there.start(late)
        async with voice_call(repeats(""), beside_others=True) as call:
            await call.user_says("a")
            first.dialer.fleet = None  # it lives, and cannot reach the plane
            first.dialer.wires[-1].cut()
            await there.start(repeats("two"))
            await time_passes(2)
            first.dialer.fleet = there.fleet
            await time_passes(6)
            go_on.set()
            await time_passes(2)
            assert await heard(call) == ["two says a"]
            assert ended == ["CancelledError"]


@in_virtual_time
async def test_the_handlers_of_a_plane_that_was_killed_end_when_there_is_another(handled_by: Any) -> None:
    ended: list[str] = []

    async def waits(session: RealtimeSession) -> None:
        try:
            await session.input()
        except asyncio.CancelledError:
            ended.append(session.id)
            raise

    async with elsewhere() as there:
        handled_by(there)
        agent = await there.start(waits)
        async with voice_call(repeats(""), beside_others=True) as call:
            await call.settle()
            agent.dialer.wires[-1].cut()
            there.restart()
            agent.dialer.fleet = there.fleet
            await time_passes(1)
            assert ended == [call.session.session_id]


@in_virtual_time
async def test_what_a_handler_kept_and_what_was_said_is_there_for_the_next_instance(handled_by: Any) -> None:
    def counts(name: str) -> Any:
        async def count(session: RealtimeSession) -> None:
            async for turn in session.turns():
                session.state["turns"] = [*session.state.get("turns", []), f"{name}:{turn.text}"]
                lines = [line.text for line in await session.history()]
                await session.say(f"{len(session.state['turns'])} of {lines}")

        return count

    async with elsewhere() as there:
        handled_by(there)
        first = await there.start(counts("one"))
        async with voice_call(repeats(""), beside_others=True) as call:
            await says(call, "a")
            await first.kill()
            await there.start(counts("two"))
            await time_passes(1)
            await says(call, "b", s=2)
            assert await heard(call) == ["1 of ['a']", "2 of ['a', \"1 of ['a']\", 'b']"]
            assert call.session.recall.state == {"turns": ["one:a", "two:b"]}


@in_virtual_time
async def test_an_agent_that_says_goodbye_is_replaced_at_once(handled_by: Any) -> None:
    async with elsewhere(lease_s=100) as there:
        handled_by(there)
        first = await there.start(repeats("one"))
        async with voice_call(repeats(""), beside_others=True) as call:
            await says(call, "a")
            await there.start(repeats("two"))
            await first.connection.leave(within_s=0.01)
            await first.kill()
            await says(call, "b")
            assert await heard(call) == ["one says a", "two says b"]


@in_virtual_time
async def test_sessions_go_to_the_instance_with_the_fewest(handled_by: Any) -> None:
    async with elsewhere() as there:
        handled_by(there)
        processes: list[Process] = [await there.start(repeats(name)) for name in ("one", "two")]
        async with voice_call(repeats(""), beside_others=True) as call:
            await says(call, "a")
            assert await heard(call) == ["one says a"]
            node = there.nodes.get("node").dispatcher
            assert isinstance(node, ChannelNode)
            assert [instance.sessions for instance in node.instances] == [1, 0]
        assert len(processes) == 2


@in_virtual_time
async def test_a_turn_that_nobody_waited_for_comes_again(handled_by: Any) -> None:
    got: list[str] = []

    async def impatient(session: RealtimeSession) -> None:
        while True:
            try:
                async with asyncio.timeout(1):
                    turn = await session.input()
            except TimeoutError:
                session.say("are you there")
            else:
                got.append(turn.text)
                await session.say(f"you said {turn.text}")

    async with elsewhere(lease_s=100) as there:
        handled_by(there)
        await there.start(impatient)
        async with voice_call(repeats(""), beside_others=True) as call:
            await time_passes(1.5)
            await says(call, "a", s=3)
            assert got == ["a"]
            assert "you said a" in await heard(call)
            assert not await turns(call, records.TurnFailed)


@in_virtual_time
async def test_what_a_session_costs_is_known_when_its_provider_tells(handled_by: Any) -> None:
    told = asyncio.Event()

    async def counts(session: RealtimeSession) -> None:
        turn = await session.input()
        await told.wait()
        session.say(f"{turn.text}: {session.usage.input_text_tokens}")

    async with elsewhere() as there:
        handled_by(there)
        await there.start(counts)
        async with voice_call(repeats(""), beside_others=True) as call:
            await call.user_says("a")
            call.adapter.give(UsageReported(Usage(input_text_tokens=7), "resp_1"))
            await call.settle()
            told.set()
            await time_passes(1)
            assert await heard(call) == ["a: 7"]


@in_virtual_time
async def test_a_call_is_cancelled_with_the_wait_for_it(handled_by: Any) -> None:
    cancelled = asyncio.Event()

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def asks(session: RealtimeSession) -> None:
        async for _ in session.turns():
            try:
                async with asyncio.timeout(1):
                    await session.call("node.never")
            except TimeoutError:
                await session.say("it takes too long")

    async with elsewhere() as there:
        handled_by(there)
        await there.start(asks)
        async with voice_call(repeats(""), beside_others=True, desk=stage.Desk(never=never)) as call:
            await says(call, "a", s=3)
            assert await heard(call) == ["it takes too long"]
            assert cancelled.is_set()
