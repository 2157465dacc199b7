"""What a dead process can leave in a run: several sessions, doubt, a clock that was years off."""

from collections.abc import Sequence

import pytest

from agentfield_journal import QueuedContentStore, Retention
from agentfield_journal.content.store import MemoryContent
from agentfield_journal.envelope import Draft
from agentfield_rt.audit import audit
from agentfield_rt.completion import RealtimeCompletionGate
from agentfield_rt.core import records
from agentfield_rt.core.evolve import replay
from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.core.records import Record
from agentfield_rt.errors import CloseReason, IllegalCommand, Reason, ReplayMismatch, RestartBudgetSpent
from agentfield_rt.frames import TextFrame
from agentfield_rt.items import UserItem
from agentfield_rt.ports import SessionConfig
from agentfield_rt.recovery import Recovery, end_run, end_what_died, history, inspect_run, open_session
from agentfield_rt.run import Context, Run, realtime_records
from agentfield_rt.testing import FaultJournal, HeldAdapter
from agentfield_rt.testing.memory_provider import MemoryProvider
from tests.recovery.process import RUN
from tests.virtual_time import in_virtual_time

FIRST, SECOND = Context(session_id="sess_1"), Context(session_id="sess_2")
STARTED = records.SessionStarted(target="a.voice", provider="local", transport="websocket")
YEAR_NS = 365 * 86_400 * 10**9
NOW_NS = 1_767_225_600_000_000_000


def turn(op_id: str) -> Record:
    return records.TurnStarted(op_id=op_id, source=records.TurnSource.TEXT, understood=True)


def connected(op_id: str) -> list[Record]:
    return [
        records.ConnectRequested(op_id=op_id),
        records.Connected(op_id=op_id, connection_id=f"conn_of_{op_id}"),
    ]


DELIVERY = records.OutputDispatchRequested(
    op_id="dlv_1",
    dedupe_key="key",
    destination_kind="case",
    destination_id="case-42",
    sink="crm",
    delivery=records.DeliveryKind.MESSAGE,
    source_id="turn_1",
    version=1,
    output_ref="ref",
    deadline_s=5.0,
)


async def left(*written: tuple[Context, Sequence[Record]], at_ns: int = NOW_NS) -> FaultJournal:
    """A journal with these records of a process that died."""
    journal = FaultJournal()
    run = await Run.open(journal, RUN, clock=lambda: at_ns)
    for context, batch in written:
        run.append(batch, context)
    await run.durable()
    return journal.reopen()


@in_virtual_time
async def test_one_of_two_sessions_goes_on_and_what_the_other_left_open_stays_as_it_is() -> None:
    journal = await left(
        (FIRST, [STARTED, *connected("a.1"), turn("t1")]), (SECOND, [STARTED, *connected("b.1"), turn("t2")])
    )
    with pytest.raises(IllegalCommand, match="it has: sess_1, sess_2"):
        await open_session(journal, RUN, HeldAdapter())
    controller = await open_session(journal, RUN, HeldAdapter(), session_id="sess_2")
    found = await inspect_run(journal, RUN)
    assert [feature.op_id for feature in found.features] == ["t1"]
    assert (found.sessions["sess_1"].phase, controller.state.phase) == (Phase.OPEN, Phase.OPEN)
    await controller.run.release()
    assert await end_run(journal, RUN)
    assert not audit(await journal.read(RUN)).findings


@pytest.mark.parametrize(
    ("written", "phase"),
    [
        ([], Phase.IDLE),
        (
            [
                *connected("a.1"),
                records.CloseRequested(op_id="a.2", reason=CloseReason.NORMAL),
                records.Closed(op_id="a.2", reason=CloseReason.NORMAL),
            ],
            Phase.CLOSED,
        ),
    ],
    ids=["never connected", "over"],
)
@in_virtual_time
async def test_a_session_with_nothing_to_go_on_with_comes_back_as_it_is(
    written: list[Record], phase: Phase
) -> None:
    journal = await left((FIRST, [STARTED, *written]))
    adapter = HeldAdapter()
    controller = await open_session(journal, RUN, adapter)
    assert controller.state.phase is phase
    assert controller.state == replay("sess_1", realtime_records(await journal.read(RUN), "sess_1"))
    assert (adapter.calls, len(await journal.read(RUN))) == ([], 1 + len(written))


@in_virtual_time
async def test_a_session_whose_restarts_are_spent_gets_no_connection_and_can_be_ended() -> None:
    limits = records.Limits(restarts_max=0)
    connect = [records.ConnectRequested(op_id="a.1", limits=limits), *connected("a.1")[1:]]
    journal = await left((FIRST, [STARTED, *connect]))
    adapter = HeldAdapter()
    with pytest.raises(RestartBudgetSpent):
        await open_session(journal, RUN, adapter)
    assert not adapter.calls
    assert await end_run(journal, RUN)


@in_virtual_time
async def test_a_session_that_never_asked_its_provider_is_ended_without_a_word_about_one() -> None:
    journal = await left((FIRST, [STARTED]))
    assert await end_run(journal, RUN, Reason.UNAVAILABLE)
    kinds = [record.kind for record in await history(journal, RUN)]
    assert kinds == ["session_started", "session_ended", "run_failed"]


@pytest.mark.parametrize("in_doubt", [False, True], ids=["open", "in doubt"])
@in_virtual_time
async def test_a_run_that_is_ended_gives_up_the_deliveries_of_which_nobody_knows(in_doubt: bool) -> None:
    doubt = records.OutputDispatchReconciliationNeeded(op_id="dlv_1", reason=Reason.TIMEOUT)
    journal = await left((FIRST, [STARTED, DELIVERY, *([doubt] if in_doubt else [])]))
    assert await end_run(journal, RUN)
    assert [r.kind for r in await history(journal, RUN)].count("output_dispatch_reconciled") == 1
    found = await inspect_run(journal, RUN)
    assert (found.is_sealed, found.features, found.unsettled) == (True, (), {})
    assert not audit(await journal.read(RUN)).findings


@in_virtual_time
async def test_work_of_another_process_stays_open_and_so_does_its_run() -> None:
    elsewhere = records.ExecutionQueued(op_id="exec_1", target="far.work", input_ref="ref", remote=True)
    here = records.ExecutionQueued(op_id="exec_2", target="a.work", input_ref="ref")
    journal = await left((FIRST, [STARTED, *connected("a.1"), turn("t1"), elsewhere, here, DELIVERY]))
    assert (await inspect_run(journal, RUN)).goes_on
    await end_what_died(journal, RUN)
    found = await inspect_run(journal, RUN)
    assert [feature.op_id for feature in found.features] == ["exec_1"]
    assert (found.is_sealed, found.goes_on, found.started, found.unsettled) == (False, True, (), {})
    assert found.sessions["sess_1"].phase is Phase.FAILED
    before = await journal.read(RUN)
    await end_what_died(journal, RUN)
    assert await journal.read(RUN) == before
    assert await end_run(journal, RUN)
    assert not (await inspect_run(journal, RUN)).goes_on
    assert not audit(await journal.read(RUN)).findings


@in_virtual_time
async def test_a_session_that_goes_on_leaves_the_work_of_another_process_alone() -> None:
    elsewhere = records.ExecutionQueued(op_id="exec_1", target="far.work", input_ref="ref", remote=True)
    journal = await left((FIRST, [STARTED, *connected("a.1"), turn("t1"), elsewhere]))
    await open_session(journal, RUN, HeldAdapter())
    assert [feature.op_id for feature in (await inspect_run(journal, RUN)).features] == ["exec_1"]


@pytest.mark.parametrize("answers_turns", [True, False])
@in_virtual_time
async def test_a_new_connection_is_told_what_was_said_before_the_process_died(answers_turns: bool) -> None:
    content = QueuedContentStore(MemoryContent())
    said = content.put(b"hello", subject="sess_1", retention=Retention.SESSION)
    spoken = records.TurnStarted(op_id="t1", source=records.TurnSource.SPEECH, understood=True, text_ref=said)
    journal = await left((FIRST, [STARTED, *connected("a.1"), spoken]))
    provider = MemoryProvider()
    config = SessionConfig(create_response=answers_turns)
    await open_session(journal, RUN, HeldAdapter(provider), recovery=Recovery(config=config, content=content))
    (told,) = provider.histories
    assert [item.text for item in told.items if isinstance(item, UserItem)] == ["hello"]
    assert told.answer_owed is answers_turns


@pytest.mark.parametrize("years", [-30, 30])
@in_virtual_time
async def test_a_clock_that_is_years_off_in_the_next_process_changes_nothing_but_times(years: int) -> None:
    journal = await left((FIRST, [STARTED, *connected("a.1"), turn("t1")]))
    provider = MemoryProvider()
    recovery = Recovery(clock=lambda: NOW_NS + years * YEAR_NS)
    controller = await open_session(journal, RUN, HeldAdapter(provider), recovery=recovery)
    assert await controller.send(TextFrame("later", "and on"))
    await controller.close()
    run = controller.run
    run.append([records.SessionEnded(reason=CloseReason.NORMAL)], FIRST)
    await run.seal(records.RunCancelled())
    envelopes = await journal.read(RUN)
    assert {envelope.at_ns - NOW_NS for envelope in envelopes} == {0, years * YEAR_NS}
    assert [envelope.seq for envelope in envelopes] == list(range(1, len(envelopes) + 1))
    assert not audit(envelopes).findings
    assert len(provider.got) == 1


@pytest.mark.parametrize(
    ("draft", "says"),
    [
        (
            Draft(record_id="r", kind="realtime_connect_requested", at_ns=1, payload=b"\x81\xa5op_id\xa1a"),
            "no session",
        ),
        (Draft(record_id="r", kind="from_the_future", at_ns=1, payload=b"\x80"), "unknown kind"),
        (Draft(record_id="r", kind="realtime_connected", at_ns=1, payload=b"\x80"), "no valid"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@in_virtual_time
async def test_a_record_that_cannot_be_read_stops_recovery_before_it_writes(draft: Draft, says: str) -> None:
    journal = FaultJournal()
    writer = await journal.open_run(RUN)
    await writer.durable(writer.append([draft]))
    found = journal.reopen()
    for recover in (inspect_run, end_run):
        with pytest.raises(ReplayMismatch, match=says):
            await recover(found, RUN)
    with pytest.raises(ReplayMismatch, match=says):
        await open_session(found, RUN, HeldAdapter())
    assert len(await found.read(RUN)) == 1


@in_virtual_time
async def test_a_run_without_a_last_record_has_none_to_read_again() -> None:
    journal = await left((FIRST, [STARTED]))
    gate = RealtimeCompletionGate(RUN)
    await gate.catch_up(journal)
    await gate.replay_seal(journal)
    assert "There is no last record to read again." in [unmet.sentence for unmet in gate.unmet()]
