"""A phone call that is handed on: announced before, one outcome after, never tried again while in doubt."""

import asyncio
from typing import Any

import pytest

from agentfield_adapters.scripted import ScriptedAdapter, silent
from agentfield_journal import StoreJournal
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core import records
from agentfield_rt.core.records import Decision, Record
from agentfield_rt.errors import (
    CloseReason,
    IllegalCommand,
    ProviderError,
    Reason,
    RepairNeeded,
    UnsupportedTransport,
)
from agentfield_rt.frames import TextFrame
from agentfield_rt.run import Run, decode
from tests.virtual_time import in_virtual_time, time_passes

TARGET = "tel:+15550100"
REF = "ref.target"


class PhoneAdapter(ScriptedAdapter):
    """Hands calls on when it is told to."""

    def __init__(self) -> None:
        super().__init__(answer=silent)
        self.referred: list[str] = []
        self.asked = asyncio.Event()
        self.answers: asyncio.Queue[Exception | None] = asyncio.Queue()

    async def refer(self, target_uri: str) -> None:
        self.referred.append(target_uri)
        self.asked.set()
        if (error := await self.answers.get()) is not None:
            raise error

    async def reject(self, call_id: str, *, sip_status: int) -> None:
        raise NotImplementedError


class NoTelephones(ScriptedAdapter):
    """Of a provider that takes no phone calls."""

    refer: None = None  # type: ignore[assignment]  # a protocol is not met by what is None


class Call:
    """A connected session over an adapter with a telephone."""

    def __init__(self, journal: StoreJournal, adapter: ScriptedAdapter, run: Run) -> None:
        self.adapter = adapter
        self.controller = RealtimeSessionController(adapter, run, session_id="session-1")
        self._journal = journal

    @classmethod
    async def connected(cls, adapter: ScriptedAdapter) -> "Call":
        journal = StoreJournal(MemoryStore())
        call = cls(journal, adapter, await Run.open(journal, "run-1"))
        await call.controller.connect()
        return call

    def refer(self) -> asyncio.Task[Any]:
        return asyncio.create_task(self.controller.refer(TARGET, target_ref=REF))

    async def told(self) -> list[Record]:
        """What the journal says of handing on."""
        await self.controller.durable()
        read = [decode(envelope) for envelope in await self._journal.read("run-1")]
        return [
            record for record in read if record.kind.startswith(("realtime_refer", "realtime_reconciled"))
        ]


@pytest.mark.asyncio
async def test_it_is_announced_and_done_and_where_to_is_only_a_reference() -> None:
    adapter = PhoneAdapter()
    call = await Call.connected(adapter)
    adapter.answers.put_nowait(None)
    await call.refer()
    asked, done = await call.told()
    assert adapter.referred == [TARGET]
    assert isinstance(asked, records.ReferRequested) and asked.target_ref == REF
    assert done == records.Referred(op_id=asked.op_id)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (ProviderError("no", reason=Reason.NOT_FOUND), records.ReferFailed, Reason.NOT_FOUND),
        (
            ProviderError("?", reason=Reason.TIMEOUT, not_done=False),
            records.ReferUnknown,
            Reason.TIMEOUT,
        ),
        (ValueError("bug"), records.ReferUnknown, Reason.INTERNAL),
    ],
    ids=["refused", "in doubt", "bug"],
)
async def test_what_it_came_to_is_written_down(
    error: Exception, outcome: type[Record], reason: Reason
) -> None:
    adapter = PhoneAdapter()
    call = await Call.connected(adapter)
    adapter.answers.put_nowait(error)
    with pytest.raises(type(error)):
        await call.refer()
    told = (await call.told())[-1]
    assert isinstance(told, outcome)
    assert getattr(told, "reason", None) is reason


@in_virtual_time
async def test_an_answer_that_does_not_come_in_time_leaves_a_doubt_and_the_next_try_must_settle_it() -> None:
    adapter = PhoneAdapter()
    call = await Call.connected(adapter)
    first = call.refer()
    await time_passes(11)
    with pytest.raises(ProviderError) as raised:
        await first
    assert (raised.value.reason, raised.value.not_done) == (Reason.TIMEOUT, False)
    with pytest.raises(RepairNeeded) as doubt:
        await call.refer()
    assert adapter.referred == [TARGET]
    (op_id,) = doubt.value.op_ids
    call.controller.reconcile(op_id, Decision.NOT_DONE)
    adapter.answers.put_nowait(None)
    await call.refer()
    assert [type(record) for record in await call.told()] == [
        records.ReferRequested,
        records.ReferUnknown,
        records.Reconciled,
        records.ReferRequested,
        records.Referred,
    ]


@pytest.mark.asyncio
async def test_a_cancelled_one_is_in_doubt_and_a_second_at_the_same_time_is_refused() -> None:
    adapter = PhoneAdapter()
    call = await Call.connected(adapter)
    first = call.refer()
    await adapter.asked.wait()
    with pytest.raises(IllegalCommand, match="another refer"):
        await call.refer()
    assert await call.controller.send(TextFrame("f1", "wait")) is True
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert isinstance((await call.told())[-1], records.ReferUnknown)
    assert adapter.referred == [TARGET]


@pytest.mark.asyncio
async def test_one_that_is_cancelled_before_its_intent_is_durable_was_not_done() -> None:
    adapter = PhoneAdapter()
    call = await Call.connected(adapter)
    first = call.refer()
    await asyncio.sleep(0)
    assert not adapter.referred
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert isinstance((await call.told())[-1], records.ReferFailed)
    assert adapter.referred == []


@pytest.mark.asyncio
async def test_hanging_up_meanwhile_ends_the_doubt() -> None:
    adapter = PhoneAdapter()
    call = await Call.connected(adapter)
    first = call.refer()
    await adapter.asked.wait()
    await call.controller.close(CloseReason.NORMAL)
    with pytest.raises(ProviderError):
        await first
    assert [type(record) for record in await call.told()] == [
        records.ReferRequested,
        records.ReferUnknown,
        records.Reconciled,
    ]


@pytest.mark.asyncio
async def test_an_adapter_without_telephones_is_not_asked_and_nothing_is_written() -> None:
    call = await Call.connected(NoTelephones())
    with pytest.raises(UnsupportedTransport, match="phone call"):
        await call.refer()
    assert await call.told() == []


@pytest.mark.asyncio
async def test_a_session_that_is_not_connected_hands_nothing_on() -> None:
    journal = StoreJournal(MemoryStore())
    call = Call(journal, PhoneAdapter(), await Run.open(journal, "run-1"))
    with pytest.raises(IllegalCommand, match="refer is not possible"):
        await call.refer()
