"""The gate's tests bite: each planted bug turns the test that names its rule red."""

# pyright: reportPrivateUsage=false

import asyncio
from typing import Any

import pytest

from agentfield_journal import Cursor, Journal
from agentfield_rt import run as run_module
from agentfield_rt.completion import RealtimeCompletionGate, RunEnd
from agentfield_rt.completion import finished as original_finished
from agentfield_rt.core import completion as core
from agentfield_rt.core.completion import Completion
from agentfield_rt.core.records import RECORD_TYPES
from tests.audit.story import CALL
from tests.completion import test_fold, test_gate
from tests.planting import Bug, Bugs, Proof, always, prove

PLANTED = Bugs()
planted = PLANTED.planted


@planted(
    "an open delivery does not count",
    seen_by=test_fold.test_every_opener_keeps_the_run_and_each_of_its_closers_lets_it_go,
)
def delivery_does_not_count(patch: pytest.MonkeyPatch) -> None:
    patch.delitem(core._CONDITIONS, "output_dispatch_requested")


@planted(
    "a failed delivery stays open",
    seen_by=test_fold.test_every_opener_keeps_the_run_and_each_of_its_closers_lets_it_go,
)
def failure_closes_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(core, "_CLOSERS", core._CLOSERS - {"output_dispatch_failed"})


@planted(
    "what is in doubt does not count",
    seen_by=test_fold.test_an_outcome_in_doubt_keeps_the_run_until_it_is_reconciled,
)
def doubt_does_not_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(core, "_DOUBTS", frozenset[str]())


@planted(
    "a live session does not count",
    seen_by=test_fold.test_a_run_may_be_sealed_exactly_when_nothing_in_it_is_open,
)
def sessions_do_not_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(core._Session, "waits_for", None)


@planted(
    "frames behind the gate do not count",
    seen_by=test_fold.test_a_frame_behind_the_gate_keeps_the_run_until_it_has_its_fate,
)
def frames_do_not_count(patch: pytest.MonkeyPatch) -> None:
    waits_for: Any = core._Session.waits_for

    def without_frames(session: core._Session) -> object:
        gated, session.gated = session.gated, {}
        try:
            return waits_for.fget(session)
        finally:
            session.gated = gated

    patch.setattr(core._Session, "waits_for", property(without_frames))


@planted(
    "the gate closes again by itself", seen_by=test_fold.test_only_something_new_closes_a_gate_that_was_open
)
def gate_flickers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Completion, "may_seal", property(lambda self: self.seq % 3 == 0))


@planted(
    "a kind of another version is skipped", seen_by=test_fold.test_a_kind_of_another_version_keeps_the_run
)
def strange_kinds_are_skipped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(core, "RECORD_TYPES", {**RECORD_TYPES, "utterance_sung": None})


@planted("a run is sealed without asking", seen_by=test_gate.test_seals_at_the_same_time_leave_one)
def nobody_asks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RealtimeCompletionGate, "require_may_seal", always(None))


@planted(
    "the gate is asked about an older journal",
    seen_by=test_gate.test_what_begins_while_the_gate_is_asked_is_not_overlooked,
)
def gate_reads_once(patch: pytest.MonkeyPatch) -> None:
    async def once(self: RealtimeCompletionGate, journal: Journal) -> None:
        for envelope in (await journal.read(self.run_id))[: len(CALL)]:
            self.read(envelope)
        self._completion.seq = 10_000

    patch.setattr(RealtimeCompletionGate, "catch_up", once)


@planted(
    "a sealed run is forgotten to be sealed",
    seen_by=test_gate.test_a_sealed_run_is_still_sealed_when_it_is_opened_again,
)
def seal_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    read = run_module.Run._read

    def forgetful(self: run_module.Run, envelope: Any) -> None:
        read(self, envelope)
        self._sealed = False

    patch.setattr(run_module.Run, "_read", forgetful)


@planted(
    "a last record is appended like any other",
    seen_by=test_gate.test_a_last_record_is_no_record_like_any_other,
)
def seals_are_ordinary(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(run_module, "_SEALS", frozenset[Any]())


@planted(
    "who waits is told before it is durable",
    seen_by=test_gate.test_nobody_is_told_before_the_last_record_is_durable,
)
def told_too_early(patch: pytest.MonkeyPatch) -> None:
    async def at_once(_: Journal, run_id: str) -> RunEnd:
        return RunEnd(run_id=run_id, outcome="completed", reason=None, cursor=Cursor(run_id, 1))

    patch.setattr(run_module, "finished", at_once)


@planted(
    "who stops waiting stops all others", seen_by=test_gate.test_who_stops_waiting_changes_nothing_for_anybody
)
def waiters_share_one_fate(patch: pytest.MonkeyPatch) -> None:
    shared: dict[str, asyncio.Task[RunEnd]] = {}

    async def together(journal: Journal, run_id: str) -> RunEnd:
        if run_id not in shared:
            shared[run_id] = asyncio.create_task(original_finished(journal, run_id))
        return await shared[run_id]

    patch.setattr(run_module, "finished", together)


@planted(
    "a run with no output is completed",
    seen_by=test_gate.test_a_run_nobody_saw_anything_of_ends_as_failed_or_cancelled_only,
)
def output_is_assumed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Completion, "output_seen", True)


@pytest.mark.parametrize("bug", PLANTED, ids=str)
def test_a_planted_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.must_be_noticed(monkeypatch)


@pytest.mark.parametrize("seen_by", PLANTED.proofs, ids=lambda test: test.__name__)
def test_without_it_the_test_is_green(seen_by: Proof) -> None:
    prove(seen_by)
