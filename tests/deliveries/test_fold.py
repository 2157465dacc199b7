"""The fold of deliveries: total on what we write, loud on what cannot be."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from agentfield_rt.core import deliveries as core
from agentfield_rt.core import records
from agentfield_rt.core.records import Decision, Record
from agentfield_rt.errors import IllegalCommand, Reason, ReplayMismatch

RUN_ID = "run_1"


def requested(
    op_id: str = "dlv_1", *, version: int = 1, key: str | None = None
) -> records.OutputDispatchRequested:
    request = records.OutputDispatchRequested(
        op_id=op_id,
        dedupe_key="",
        destination_kind="crm",
        destination_id="case-42",
        sink="desk",
        delivery=records.DeliveryKind.RESULT,
        source_id="turn_1",
        version=version,
        output_ref="ref",
        deadline_s=1,
    )
    return replace(request, dedupe_key=key or core.dedupe_key(RUN_ID, request))


KEY = requested().dedupe_key
DONE = records.OutputDispatchCompleted(op_id="dlv_1")
FAILED = records.OutputDispatchFailed(op_id="dlv_1", reason=Reason.UNAVAILABLE)
DOUBT = records.OutputDispatchReconciliationNeeded(op_id="dlv_1", reason=Reason.TIMEOUT)
DEDUPED = records.OutputDispatchDeduped(dedupe_key=KEY, completed_op_id="dlv_1")


def reconciled(decision: Decision) -> Record:
    return records.OutputDispatchReconciled(op_id="dlv_1", decision=decision)


@pytest.mark.parametrize(
    "history",
    [
        [requested(), DONE, DEDUPED, DEDUPED],
        [requested(), FAILED, requested("dlv_2")],
        [requested(), DOUBT, reconciled(Decision.NOT_DONE), requested("dlv_2")],
        [requested(), DOUBT, reconciled(Decision.DONE), DEDUPED],
        [requested(), requested("dlv_2", version=2), DONE],
        [records.RunCompleted()],
    ],
)
def test_what_is_written_can_be_read(history: Sequence[Record]) -> None:
    core.replay(RUN_ID, history)


def test_however_often_a_delivery_is_tried_one_try_of_it_is_remembered() -> None:
    ledger = core.DeliveryLedger(RUN_ID)
    for number in range(3):
        ledger.apply(requested(f"dlv_{number}"))
        ledger.apply(records.OutputDispatchFailed(op_id=f"dlv_{number}", reason=Reason.UNAVAILABLE))
    assert [ledger.find(f"dlv_{number}") is not None for number in range(3)] == [False, False, True]
    assert list(ledger._key_of) == ["dlv_2"]  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("history", "says"),
    [
        ([requested(key="0" * 64)], "not its own"),
        ([requested(), FAILED, requested()], "opened twice"),
        ([requested(), requested("dlv_2")], "delivers again"),
        ([requested(), DONE, requested("dlv_2")], "delivers again"),
        ([requested(), DOUBT, requested("dlv_2")], "delivers again"),
        ([requested(), DOUBT, reconciled(Decision.ABANDONED), requested("dlv_2")], "delivers again"),
        ([DONE], "not open"),
        ([requested(), DONE, FAILED], "not open"),
        ([requested(), DONE, reconciled(Decision.DONE)], "not reconciliation_needed"),
        ([requested(), DEDUPED], "no proof"),
        ([DEDUPED], "no proof"),
    ],
)
def test_what_cannot_be_is_not_read_over(history: Sequence[Record], says: str) -> None:
    with pytest.raises(ReplayMismatch, match=says):
        core.replay(RUN_ID, history)


def test_an_earlier_try_is_not_found_once_a_later_one_took_its_place() -> None:
    ledger = core.replay(RUN_ID, [requested(), FAILED, requested("dlv_2")])
    assert ledger.find("dlv_1") is None
    assert ledger.find("dlv_2") == ledger.open[0] == ledger.by_key[KEY]


def test_a_run_has_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "KEYS_MAX", 1)
    ledger = core.replay(RUN_ID, [requested(), DONE])
    assert ledger.admit(KEY) is not None
    with pytest.raises(IllegalCommand, match="limit"):
        ledger.admit("another")
