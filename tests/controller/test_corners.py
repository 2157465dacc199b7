"""What happens seldom: connections that are not ours, second emergencies, journals that come and go."""

import asyncio

import pytest

from agentfield_adapters.scripted import ScriptedAdapter, silent
from agentfield_journal import JournalFull, StoreJournal
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.controller import EACH, RealtimeSessionController, Windows
from agentfield_rt.core import records
from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.core.records import Decision
from agentfield_rt.errors import IllegalCommand, ProviderError, Reason, RepairNeeded
from agentfield_rt.frames import Media, Notice, TextFrame
from agentfield_rt.ports import Connection, ConnectRequest
from agentfield_rt.run import Run
from tests.controller.deaf import deaf
from tests.controller.stage import SMALL, Stage, error_of, kinds, methods, performance


def settle_each(stage: Stage, media: Media, times: int) -> None:
    for _ in range(times):
        stage.send(media)
        stage.settle()


def owe_an_outcome(stage: Stage) -> None:
    """A text was sent, and the journal does not take that."""
    stage.hold("send")
    stage.send(Media.TEXT)
    stage.settle()
    for _ in range(2):
        stage.break_append()
    stage.decide(stage.undecided[0], "release")
    stage.settle()


class ForeignAdapter(ScriptedAdapter):
    """Gives connections of another session, or the same one again and again."""

    def __init__(self, session_id: str | None = None) -> None:
        super().__init__(answer=silent)
        self._session_id = session_id

    async def connect(self, request: ConnectRequest) -> Connection:
        await super().connect(request)
        return Connection(session_id=self._session_id or request.session_id, connection_id="conn_1")

    async def restart(self, request: ConnectRequest) -> Connection:
        await super().restart(request)
        return Connection(session_id=request.session_id, connection_id="conn_1")


class SecondAdapter(ScriptedAdapter):
    """The adapter of another process: its connections are not those of the first."""

    async def restart(self, request: ConnectRequest) -> Connection:
        await super().restart(request)
        return Connection(session_id=request.session_id, connection_id="conn_of_another_process")


async def _controller(adapter: ScriptedAdapter) -> RealtimeSessionController:
    journal = StoreJournal(MemoryStore())
    return RealtimeSessionController(adapter, await Run.open(journal, "run-1"), session_id="session-1")


@pytest.mark.asyncio
async def test_a_connection_of_another_session_is_hung_up_and_none() -> None:
    adapter = ForeignAdapter("session-2")
    session = await _controller(adapter)
    with pytest.raises(ProviderError) as caught:
        await session.connect()
    assert caught.value.reason is Reason.PROTOCOL
    assert [call.method for call in adapter.calls] == ["connect", "close"]
    assert session.state.phase is Phase.IDLE


@pytest.mark.asyncio
async def test_a_connection_of_another_session_that_cannot_be_hung_up_is_in_doubt() -> None:
    adapter = ForeignAdapter("session-2")
    adapter.hold("close").fail(ProviderError("busy", reason=Reason.UNAVAILABLE))
    session = await _controller(adapter)
    with pytest.raises(ProviderError) as caught:
        await session.connect()
    assert (caught.value.reason, caught.value.not_done) == (Reason.PROTOCOL, False)
    assert session.state.phase is Phase.DEGRADED
    await session.close()
    assert [call.method for call in adapter.calls] == ["connect", "close", "close"]


@pytest.mark.asyncio
async def test_a_connection_that_was_there_before_is_hung_up_and_none() -> None:
    adapter = ForeignAdapter()
    session = await _controller(adapter)
    await session.connect()
    with pytest.raises(ProviderError):
        await session.restart(Reason.CONNECTION_LOST)
    assert session.state.phase is Phase.DEGRADED
    await session.close()


@pytest.mark.asyncio
async def test_a_session_goes_on_where_another_process_stopped() -> None:
    journal = StoreJournal(MemoryStore())
    run = await Run.open(journal, "run-1")
    died = RealtimeSessionController(ScriptedAdapter(), run, session_id="session-1")
    await died.connect()
    answer_never_comes = asyncio.create_task(died.receive())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    state = died.state
    session = RealtimeSessionController.resume(SecondAdapter(), run, state)
    session.recover(lambda _: Decision.ABANDONED)
    assert session.state.phase is Phase.DEGRADED
    assert not session.state.open_operations
    await session.restart(Reason.PROCESS_LOST)
    assert await session.send(TextFrame("frame-1", "hello"))
    await session.close()
    answer_never_comes.cancel()


@pytest.mark.asyncio
async def test_what_was_unknown_when_a_process_died_is_settled_when_another_goes_on() -> None:
    journal = StoreJournal(MemoryStore())
    run = await Run.open(journal, "run-1")
    adapter = ScriptedAdapter()
    died = RealtimeSessionController(adapter, run, session_id="session-1")
    await died.connect()
    hold = adapter.hold("send")
    sending = asyncio.create_task(died.send(TextFrame("frame-1", "hello")))
    await hold.wait_reached()
    session = RealtimeSessionController.resume(ScriptedAdapter(), run, died.state)
    asked = list[str]()

    def reconcile(operation: object) -> Decision:
        asked.append(type(operation).__name__)
        return Decision.NOT_DONE

    session.recover(reconcile)
    assert asked == ["OpenOperation"]
    assert not session.state.needs_repair
    sending.cancel()


def test_a_session_that_was_never_connected_has_nothing_to_hang_up() -> None:
    stage = Stage()
    try:
        close = stage.close()
        stage.settle()
        assert error_of(close) is None
        assert methods(stage) == []
        assert kinds(stage) == []
    finally:
        stage.dispose()


def test_a_text_in_doubt_ends_the_tries_for_a_connection(stage: Stage) -> None:
    stage.hold("send")
    stage.send(Media.TEXT)
    stage.settle()
    stage.hold("restart")
    answer = stage.holds[-1]
    reconnect = stage.reconnect()
    stage.pass_time(1.0)
    stage.decide(answer, "break")
    stage.pass_time(5.0)
    assert isinstance(error_of(reconnect), RepairNeeded)
    assert methods(stage).count("restart") == 1


@pytest.mark.parametrize("windows", [EACH, SMALL], ids=["each", "windows"])
@pytest.mark.parametrize("media", [Media.AUDIO, Media.TEXT])
def test_a_call_that_does_not_hear_of_its_end_is_settled_for_it(windows: Windows, media: Media) -> None:
    with performance(windows) as stage:
        stage.adapter.send = deaf  # type: ignore[method-assign]  # it does not hear that it is cancelled
        stage.send(media)
        stage.settle()
        stage.close()
        stage.pass_time(1.5)
        assert stage.controller.state.phase is Phase.CLOSED
        assert "input_send_unknown" in kinds(stage)
        stage.pass_time(10.0)
        if media is Media.TEXT:
            stage.reconcile(next(iter(stage.controller.state.unknown)))


def test_an_emergency_happens_once(stage: Stage) -> None:
    for _ in range(9):
        stage.break_append()
    for _ in range(2):
        close = stage.close()
        stage.settle()
        assert isinstance(error_of(close), JournalFull)
    assert methods(stage).count("close") == 1


def test_a_hang_up_ends_with_the_loop_it_runs_on(stage: Stage) -> None:
    stage.hold("close")
    waits = stage.close()
    stage.settle()
    for task in asyncio.all_tasks(stage.loop):
        if task.get_name().startswith("close sess"):
            task.cancel()
    stage.settle()
    waits.cancelled = True
    assert waits.task.cancelled()
    assert kinds(stage)[-1] == "close_unknown"


def test_an_adapter_that_breaks_leaves_an_unknown_outcome(stage: Stage) -> None:
    async def broken(frame: object) -> None:
        raise ZeroDivisionError

    stage.adapter.send = broken  # type: ignore[method-assign]  # a bug in an adapter
    send = stage.send(Media.TEXT)
    stage.settle()
    assert isinstance(error_of(send), ZeroDivisionError)
    send.checked = True
    last = stage.writer.appended[-1]
    assert isinstance(last, records.InputSendUnknown)
    assert last.reason is Reason.INTERNAL


def test_what_is_owed_is_written_before_audio_flows_on(flowing: Stage) -> None:
    settle_each(flowing, Media.AUDIO, 1)
    owe_an_outcome(flowing)
    before = len(flowing.writer.appended)
    flowing.send()
    flowing.settle()
    assert flowing.writer.appended[before].kind == "realtime_input_send_unknown"


def test_an_outcome_that_is_owed_is_not_owed_twice(flowing: Stage) -> None:
    flowing.hold("send")
    send = flowing.send(Media.TEXT)
    flowing.settle()
    for _ in range(3):
        flowing.break_append()
    flowing.decide(flowing.undecided[0], "refuse")
    flowing.settle()
    assert isinstance(error_of(send), JournalFull)
    close = flowing.close()
    flowing.settle()
    assert isinstance(error_of(close), JournalFull)
    flowing.writer.append_faults.clear()
    flowing.close()
    flowing.settle()
    assert kinds(flowing).count("input_send_failed") == 1
    assert kinds(flowing)[-1] == "emergency_closed"


def test_who_is_cancelled_stays_so_when_the_journal_takes_no_outcome(flowing: Stage) -> None:
    flowing.hold("send")
    send = flowing.send(Media.TEXT)
    flowing.settle()
    flowing.break_append()
    flowing.cancel(send)
    flowing.settle()
    assert send.task.cancelled()
    assert "input_send_unknown" not in kinds(flowing)
    flowing.send()  # the next one is told what is owed
    flowing.settle()
    assert "input_send_unknown" in kinds(flowing)


def test_a_receive_learns_of_an_emergency_before_the_adapter_is_asked(flowing: Stage) -> None:
    flowing.give(*(flowing.notice() for _ in range(4)))
    for demand in (1, 3):
        flowing.receive(demand=demand)
        if demand == 3:
            flowing.break_append()
        flowing.settle()
    owe_an_outcome(flowing)
    for _ in range(3):
        flowing.break_append()
    flowing.close()
    flowing.settle()
    flowing.writer.append_faults.clear()
    asked = methods(flowing).count("receive")
    refused = flowing.receive()
    flowing.settle()
    assert isinstance(error_of(refused), IllegalCommand)
    assert methods(flowing).count("receive") == asked


def test_audio_learns_of_an_emergency_before_the_adapter_is_asked(flowing: Stage) -> None:
    settle_each(flowing, Media.AUDIO, 1)
    owe_an_outcome(flowing)
    for _ in range(3):
        flowing.break_append()
    flowing.close()
    flowing.settle()
    flowing.writer.append_faults.clear()
    refused = flowing.send()
    flowing.settle()
    assert isinstance(error_of(refused), IllegalCommand)
    assert methods(flowing).count("send") == 2


def test_names_of_a_provider_are_journaled_and_its_words_are_not(stage: Stage) -> None:
    stage.give(Notice("rate_limits.updated"), Notice("You said: hello"))
    stage.receive(demand=2)
    stage.settle()
    received = stage.writer.appended[-1]
    assert isinstance(received, records.OutputReceived)
    assert received.events == {"rate_limits.updated": 1, "Notice": 1}
