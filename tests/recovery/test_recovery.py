"""A session goes on in a new process, or is brought to its end: nothing twice, nothing left open."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

import pytest

from agentfield_journal import JournalUnavailable
from agentfield_rt.audit import audit
from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core import records
from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.core.records import Decision
from agentfield_rt.errors import CloseReason, IllegalCommand, ProviderError, Reason
from agentfield_rt.frames import AudioFrame, TextFrame
from agentfield_rt.recovery import Recovery, end_run, inspect_run, open_session
from agentfield_rt.run import Context, Run
from agentfield_rt.testing.fault_journal import FaultJournal
from agentfield_rt.testing.held_adapter import HeldAdapter
from agentfield_rt.testing.memory_provider import MemoryProvider
from agentfield_rt.testing.virtual_time import run as run_in_virtual_time
from agentfield_rt.testing.virtual_time import time_passes

RUN = "run_1"
SESSION = "sess_1"
CONTEXT = Context(session_id=SESSION)

Story = Callable[[RealtimeSessionController, HeldAdapter, Run], Awaitable[None]]


async def nothing(controller: RealtimeSessionController, adapter: HeldAdapter, run: Run) -> None:
    """Connected, and then the process died."""


async def text_in_doubt(controller: RealtimeSessionController, adapter: HeldAdapter, run: Run) -> None:
    adapter.hold("send")
    _start(controller.send(TextFrame("f1", "hello")))
    await _a_few_turns()


async def audio_flowing(controller: RealtimeSessionController, adapter: HeldAdapter, run: Run) -> None:
    for number in range(7):
        await controller.send(AudioFrame(f"a{number}", bytes(960)))


async def frames_waiting(controller: RealtimeSessionController, adapter: HeldAdapter, run: Run) -> None:
    adapter.hold("restart")
    _start(controller.restart(Reason.CONNECTION_LOST))
    await _a_few_turns()
    await controller.send(TextFrame("f1", "hello"))
    await controller.send(AudioFrame("a1", bytes(960)))


async def closing(controller: RealtimeSessionController, adapter: HeldAdapter, run: Run) -> None:
    adapter.hold("close")
    _start(controller.close(CloseReason.CALLER_GONE))
    await _a_few_turns()


async def turn_and_tool_open(controller: RealtimeSessionController, adapter: HeldAdapter, run: Run) -> None:
    run.append(
        [
            records.TurnStarted(op_id="t1", source=records.TurnSource.TEXT, understood=True),
            records.UtteranceRequested(op_id="u1", text_ref="ref"),
            records.ToolIntentRecorded(op_id="tool1", target="a.b"),
        ],
        CONTEXT,
    )


STORIES: list[Story] = [nothing, text_in_doubt, audio_flowing, frames_waiting, closing, turn_and_tool_open]


_started: list["asyncio.Task[object]"] = []


def _start(work: Coroutine[object, object, object]) -> None:
    """What the process is busy with when it dies."""
    _started.append(asyncio.create_task(work))


async def _a_few_turns() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


def _another_process() -> MemoryProvider:
    """The provider's names for connections go on."""
    provider = MemoryProvider()
    provider.connections_total = 10
    return provider


async def _die_in(story: Story) -> tuple[FaultJournal, HeldAdapter]:
    """Let a process do something and vanish; the journal is what the next one finds."""
    journal = FaultJournal()
    run = await Run.open(journal, RUN)
    run.append([records.SessionStarted(target="a.voice", provider="local", transport="websocket")], CONTEXT)
    adapter = HeldAdapter()
    controller = RealtimeSessionController(adapter, run, session_id=SESSION)
    await controller.connect()
    await story(controller, adapter, run)
    await run.durable()
    found = journal.reopen()
    for task in _started:
        task.cancel()
    await asyncio.gather(*_started, return_exceptions=True)
    _started.clear()
    return found, adapter


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_session_goes_on_in_a_new_process_and_nothing_is_done_twice(story: Story) -> None:
    async def work() -> None:
        journal, first = await _die_in(story)
        second = HeldAdapter(_another_process(), effects=first.effects)
        controller = await open_session(journal, RUN, second)
        if story is closing:
            assert controller.state.phase is Phase.CLOSED
            assert controller.state.close_reason is CloseReason.CALLER_GONE
        else:
            assert controller.state.phase is Phase.OPEN
            await controller.send(TextFrame("later", "and on"))
            await controller.close()
        found = await inspect_run(journal, RUN)
        assert not found.open_operations
        assert not found.features
        assert found.sessions[SESSION] == controller.state
        sent = [call for call in (*first.calls, *second.calls) if call.method == "send"]
        assert len({id(call) for call in sent}) == len(sent)
        findings = audit(await journal.read(RUN)).findings
        assert not [finding for finding in findings if "unsealed" not in str(finding)]

    run_in_virtual_time(work())


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_run_that_nobody_goes_on_with_is_closed_and_sealed(story: Story) -> None:
    async def work() -> None:
        journal, adapter = await _die_in(story)
        calls = len(adapter.calls)
        assert await end_run(journal, RUN)
        assert not await end_run(journal, RUN)
        found = await inspect_run(journal, RUN)
        assert found.is_sealed
        assert not found.open_operations
        assert not found.features
        assert not found.started
        assert len(adapter.calls) == calls
        assert not audit(await journal.read(RUN)).findings

    run_in_virtual_time(work())


def test_looking_at_a_run_calls_nobody_and_writes_nothing() -> None:
    async def work() -> None:
        journal, adapter = await _die_in(text_in_doubt)
        before = await journal.read(RUN)
        calls = len(adapter.calls)
        found = await inspect_run(journal, RUN)
        assert [operation.name for operation in found.open_operations] == ["send"]
        assert await journal.read(RUN) == before
        assert len(adapter.calls) == calls

    run_in_virtual_time(work())


def test_whoever_can_ask_the_provider_decides_what_became_of_it() -> None:
    async def work() -> None:
        journal, _ = await _die_in(text_in_doubt)
        asked: list[str] = []

        def ask(operation: object) -> Decision:
            asked.append(str(getattr(operation, "name", "")))
            return Decision.DONE

        await open_session(journal, RUN, HeldAdapter(_another_process()), recovery=Recovery(reconcile=ask))
        assert asked == ["send"]
        reconciled = [e for e in await journal.read(RUN) if e.kind == "realtime_reconciled"]
        assert len(reconciled) == 1

    run_in_virtual_time(work())


def test_a_provider_that_refuses_leaves_a_run_that_can_still_be_ended() -> None:
    async def work() -> None:
        journal, _ = await _die_in(nothing)
        adapter = HeldAdapter()
        answer = adapter.hold("restart")
        opening = asyncio.ensure_future(open_session(journal, RUN, adapter))
        await _a_few_turns()
        answer.fail(ProviderError("no", reason=Reason.UNAUTHORIZED))
        with pytest.raises(ProviderError):
            await opening
        assert await end_run(journal, RUN)

    run_in_virtual_time(work())


def test_a_new_connection_that_the_journal_cannot_take_is_hung_up() -> None:
    async def work() -> None:
        journal, _ = await _die_in(nothing)
        adapter = HeldAdapter(_another_process())
        journal.faults.fail("durable", nth=3)
        with pytest.raises(JournalUnavailable):
            await open_session(journal, RUN, adapter)
        assert [call.method for call in adapter.calls] == ["restart", "close"]
        assert await end_run(journal, RUN)

    run_in_virtual_time(work())


def test_a_restart_that_may_have_come_about_is_hung_up_when_nobody_goes_on() -> None:
    async def work() -> None:
        journal, _ = await _die_in(nothing)
        adapter = HeldAdapter(_another_process())
        adapter.hold("restart").lose()
        opening = asyncio.ensure_future(open_session(journal, RUN, adapter))
        await time_passes(5)
        opening.cancel()
        await asyncio.wait([opening])
        assert [call.method for call in adapter.calls] == ["restart", "close"]

    run_in_virtual_time(work())


def test_a_sealed_run_and_a_session_that_is_not_there_are_refused() -> None:
    async def work() -> None:
        journal, _ = await _die_in(nothing)
        with pytest.raises(IllegalCommand, match="it has: sess_1"):
            await open_session(journal, RUN, HeldAdapter(), session_id="sess_9")
        await end_run(journal, RUN)
        with pytest.raises(IllegalCommand, match="sealed"):
            await open_session(journal, RUN, HeldAdapter())

    run_in_virtual_time(work())
