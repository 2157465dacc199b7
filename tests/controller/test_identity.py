"""Who a session is: closed for good, its id used once, and names where the journal holds them."""

import pytest

from agentfield_adapters.scripted import ScriptedAdapter
from agentfield_journal import JournalError, StoreJournal
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.audit import audit
from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.errors import CloseReason, IllegalCommand, ProviderError, Reason
from agentfield_rt.frames import TextFrame
from agentfield_rt.ports import Connection, ConnectRequest
from agentfield_rt.recovery import end_run
from agentfield_rt.run import Run

NOT_NAMES = ["", "two words", "a\nb", "\u202e", "x" * 513]


class TalkativeAdapter(ScriptedAdapter):
    """Its provider calls its connections what it likes."""

    def __init__(self, connection_id: str) -> None:
        super().__init__()
        self._connection_id = connection_id

    async def connect(self, request: ConnectRequest) -> Connection:
        await super().connect(request)
        return Connection(session_id=request.session_id, connection_id=self._connection_id)


class BrokenAdapter(ScriptedAdapter):
    """Its `close` has a bug."""

    async def close(self, reason: CloseReason) -> None:
        await super().close(reason)
        raise OSError("a socket that was closed before")


def _session(run: Run, adapter: ScriptedAdapter | None = None) -> RealtimeSessionController:
    return RealtimeSessionController(adapter or ScriptedAdapter(), run, session_id="session-1")


async def _run() -> tuple[StoreJournal, Run]:
    journal = StoreJournal(MemoryStore())
    return journal, await Run.open(journal, "run-1")


@pytest.mark.asyncio
async def test_a_session_that_was_closed_before_it_connected_stays_closed() -> None:
    _, run = await _run()
    adapter = ScriptedAdapter()
    closed, left = _session(run, adapter), _session(run, adapter)
    await closed.close()
    async with left:
        pass
    for session in (closed, left):
        with pytest.raises(IllegalCommand, match="was closed"):
            await session.connect()
    assert not adapter.calls
    assert run.head.seq == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("elsewhere", [False, True], ids=["in this process", "in another process"])
async def test_a_second_session_of_one_id_is_refused_and_the_run_can_end(elsewhere: bool) -> None:
    journal, run = await _run()
    async with _session(run) as session:
        await session.connect()
    if elsewhere:
        await run.release()
        run = await Run.open(journal, "run-1")
    again, head = _session(run), run.head
    with pytest.raises(IllegalCommand, match="used once"):
        await again.connect()
    assert run.head == head
    await run.release()
    assert await end_run(journal, "run-1")


@pytest.mark.asyncio
@pytest.mark.parametrize("frame_id", NOT_NAMES)
async def test_a_frame_whose_id_is_no_name_is_refused(frame_id: str) -> None:
    _, run = await _run()
    adapter = ScriptedAdapter()
    async with _session(run, adapter) as session:
        await session.connect()
        head = run.head
        with pytest.raises(IllegalCommand, match="name"):
            await session.send(TextFrame(frame_id, "hello"))
        assert run.head == head
    assert not adapter.sent


@pytest.mark.asyncio
@pytest.mark.parametrize("connection_id", NOT_NAMES)
async def test_a_connection_whose_id_is_no_name_is_hung_up_and_none(connection_id: str) -> None:
    journal, run = await _run()
    adapter = TalkativeAdapter(connection_id)
    session = _session(run, adapter)
    with pytest.raises(ProviderError) as caught:
        await session.connect()
    assert caught.value.reason is Reason.PROTOCOL
    assert [call.method for call in adapter.calls] == ["connect", "close"]
    await run.durable()
    assert audit(await journal.read("run-1")).clean


@pytest.mark.asyncio
async def test_leaving_the_scope_ends_the_session_though_the_adapter_breaks() -> None:
    journal, run = await _run()
    session = _session(run, BrokenAdapter())
    with pytest.raises(OSError, match="socket"):
        async with session:
            await session.connect()
    assert session.state.phase is Phase.FAILED
    await run.release()
    assert await end_run(journal, "run-1")
    assert audit(await journal.read("run-1")).clean


@pytest.mark.asyncio
async def test_leaving_the_scope_hangs_up_though_the_journal_is_gone() -> None:
    journal, run = await _run()
    adapter = ScriptedAdapter()
    with pytest.raises(JournalError):
        async with _session(run, adapter) as session:
            await session.connect()
            await journal.close()
    assert [call.method for call in adapter.calls] == ["connect", "close"]
