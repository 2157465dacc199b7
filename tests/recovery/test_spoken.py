"""A spoken session goes on in a new process: grants, deliveries and what rules did hold in it as before."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from agentfield_rt.agent import RealtimeSession
from agentfield_rt.approvals import ApprovalDecision, ApprovalRule
from agentfield_rt.core import records
from agentfield_rt.core.approvals import ApprovalsState
from agentfield_rt.core.deliveries import DeliveryLedger
from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.core.records import Decision, Record
from agentfield_rt.core.records.rules import Channel, Repeat
from agentfield_rt.core.rules.repeat import RepeatKey, RepeatKeys
from agentfield_rt.core.rules.rule import Emit, Literal, Rule
from agentfield_rt.deliveries import Destination, Output
from agentfield_rt.errors import IllegalCommand, RepairNeeded, RestartBudgetSpent, SessionClosed
from agentfield_rt.frames import ToolCalled
from agentfield_rt.items import ToolCallItem, ToolOutputItem, UserItem
from agentfield_rt.recovery import Recovery, end_run, history, inspect_run, open_session
from agentfield_rt.testing import RuleBroken, run
from agentfield_rt.voice.session import VoiceSession
from tests.recovery.checks import require
from tests.recovery.enumeration import Tally, die_everywhere
from tests.recovery.golden_above import (
    REFUND,
    approver,
    begin_call,
    call_over,
    call_spec,
    end_call,
    sink,
    user_says,
)
from tests.recovery.process import RUN, SESSION, Process
from tests.recovery.stage import STEADY, Golden
from tests.voice.call import Function, Listener, speaks

ANGRY = Rule(
    id="angry",
    matcher=Literal("lawyer"),
    action=Emit("get-a-person"),
    channels=(Channel.REALTIME_TRANSCRIPT,),
    repeat=Repeat.ONCE_PER_RUN,
)


def _approval(p: Process) -> ApprovalRule:
    return ApprovalRule(REFUND, approver=approver(p, ApprovalDecision.APPROVED_FOR_SESSION))


def _notes_the_case(p: Process) -> Function:
    """Delivers the same note whenever the user says something; what may have arrived it leaves alone."""

    async def handler(session: RealtimeSession) -> None:
        async for _ in session.turns():
            note = Output(source_id="note", body=b"{}")
            try:
                await session.deliver(note, Destination("case", "case-42"), sink(p), required=True)
            except (RepairNeeded, IllegalCommand):
                pass
            session.say("noted")

    return handler


async def _speak(p: Process) -> None:
    """The user is angry and the model wants a refund: what every process of this call sees."""
    call_id = f"call_{len(p.world.providers)}"
    p.provider.say(ToolCalled(f"resp_{call_id}", call_id, "refund", "{}"))
    await user_says(p, "get me a lawyer")


async def an_angry_call(p: Process) -> None:
    session = await begin_call(p, _notes_the_case(p), approvals=[_approval(p)], rules=[ANGRY])
    await _speak(p)
    await end_call(p, session)


THE_CALL = Golden(an_angry_call, speaks(audio_ms=60))


@dataclass
class Seen:
    """In how many recoveries the new process found that something was done already, by what was done."""

    before: Counter[str] = field(default_factory=Counter[str])
    went_on: int = 0


def _done(told: list[Record]) -> set[str]:
    done = set[str]()
    for record in told:
        match record:
            case records.ApprovalGranted(scope=records.ApprovalScope.SESSION):
                done.add("granted")
            case records.OutputDispatchCompleted():
                done.add("delivered")
            case records.StreamInterventionRequested():
                done.add("intervened")
            case _:
                pass
    return done


async def _go_on(p: Process, seen: Seen) -> None:
    """Recovers with `VoiceSession.go_on`: the user says the same again, and the call comes to its end."""
    try:
        recovery = Recovery(settings=STEADY, content=p.world.content)
        controller = await open_session(p.journal, RUN, p.adapter, recovery=recovery)
    except RestartBudgetSpent:
        require(await end_run(p.journal, RUN), "it has no connection and no end")
        return
    except IllegalCommand as refusal:
        found = await inspect_run(p.journal, RUN)
        require(found.is_sealed or not found.sessions, f"refused: {refusal}")
        return
    before = await history(p.journal, RUN, session_id=SESSION)
    spec = call_spec([_approval(p)], [ANGRY], before)
    session = call_over(p, controller, spec, _notes_the_case(p))
    if controller.state.phase is Phase.OPEN:
        _check_history(p, before)
        await session.go_on(caller=Listener())
        await _speak(p)
        await _check_repeats(p, before, seen)
    else:
        with pytest.raises(SessionClosed):
            await session.go_on()
    await _end(p, session)


def _check_history(p: Process, told: list[Record]) -> None:
    """The new connection knows each turn and each call that the journal knows, once and in order."""
    items = p.provider.histories[-1].items
    turns = [record.op_id for record in told if isinstance(record, records.TurnStarted)]
    require([item.item_id for item in items if isinstance(item, UserItem)] == turns, "turns are lost")
    calls = [record.call_id for record in told if isinstance(record, records.ToolCallReceived)]
    require([item.call_id for item in items if isinstance(item, ToolCallItem)] == calls, "calls are lost")
    outputs = [item.call_id for item in items if isinstance(item, ToolOutputItem)]
    require(sorted(outputs) == sorted(calls), "a call waits for an output that nobody will send")
    (restored,) = [record for record in told if isinstance(record, records.ConversationRestored)][-1:]
    require(restored.restored == len(items), "the journal tells another number of items")


async def _check_repeats(p: Process, before: list[Record], seen: Seen) -> None:
    """What had been done is not done again, and what had not is."""
    told = await history(p.journal, RUN, session_id=SESSION)
    done, now = _done(before), _done(told[len(before) :])
    require(not (again := done & now), f"done again: {again}")
    require("intervened" in done | now, "the rule has let the word pass")
    require("granted" in done | now, "nobody has granted the refund")
    seen.before.update(done)
    seen.went_on += 1


async def _end(p: Process, session: VoiceSession) -> None:
    if (await inspect_run(p.journal, RUN)).started:
        await session.close()
    for delivery in await session.deliveries.recover():
        await session.deliveries.reconcile(delivery.request.op_id, Decision.ABANDONED)
    written = session._run  # pyright: ignore[reportPrivateUsage]
    await written.seal(records.RunCancelled())
    await written.release()


def _die_and_go_on() -> tuple[Tally, Seen]:
    tally, seen = Tally(), Seen()

    async def go_on(p: Process) -> None:
        await _go_on(p, seen)

    run(die_everywhere(THE_CALL, tally, recoverers=(go_on,)))
    return tally, seen


def test_wherever_a_call_dies_it_goes_on_and_grants_deliveries_and_rules_hold_as_before() -> None:
    tally, seen = _die_and_go_on()
    assert tally.crashes > 100
    assert seen.went_on > 50
    assert min(seen.before[done] for done in ("granted", "delivered", "intervened")) > 10


def _forget_approvals(history: Iterable[Record]) -> ApprovalsState:
    return ApprovalsState()


def _forget_deliveries(run_id: str, history: Iterable[Record]) -> DeliveryLedger:
    return DeliveryLedger(run_id)


def _forget_rules(keys: Iterable[RepeatKey] = (), *, once: object = None) -> RepeatKeys:
    return RepeatKeys()


@pytest.mark.parametrize(
    ("fold", "forgetful"),
    [
        ("agentfield_rt.core.approvals.replay", _forget_approvals),
        ("agentfield_rt.deliveries.replay", _forget_deliveries),
        ("agentfield_rt.voice.watching.RepeatKeys", _forget_rules),
    ],
)
def test_a_part_that_forgets_what_was_before_the_crash_is_found(
    fold: str, forgetful: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold, forgetful)
    with pytest.raises(RuleBroken, match=r"again|more than once|the auditor"):
        _die_and_go_on()
