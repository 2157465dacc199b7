"""Runs that break an invariant of the journal, of operations, of privacy or of the end."""

from collections.abc import Iterator

from msgspec.structs import replace

from agentfield_journal import Envelope, Privacy
from agentfield_rt.audit import Code
from agentfield_rt.core import records
from agentfield_rt.errors import Reason
from agentfield_rt.frames import Media
from tests.audit.mutations import SENTINEL, breaks, changed, with_operation
from tests.audit.story import chained, dispatch, index_of, rewritten, spliced

# The journal.


@breaks(Code.SEQUENCE)
def a_number_is_left_out(story: list[Envelope]) -> list[Envelope]:
    return [*story[:5], *(replace(envelope, seq=envelope.seq + 1) for envelope in story[5:])]


@breaks(Code.RECORD_ID_REPEATED)
def a_record_id_is_used_twice(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "utterance_started")
    return [*story[:at], replace(story[at], record_id=story[0].record_id), *story[at + 1 :]]


@breaks(Code.CHAIN_BROKEN)
def a_record_is_cut_out_and_the_rest_renumbered(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "utterance_started")
    return [*story[:at], *(replace(envelope, seq=envelope.seq - 1) for envelope in story[at + 1 :])]


@breaks(Code.CHAIN_BROKEN)
def the_first_record_was_chained_in_another_run(story: list[Envelope]) -> list[Envelope]:
    return [replace(story[0], prev_hash=bytes(32)), *story[1:]]


@breaks(Code.UNKNOWN_KIND)
def a_kind_is_of_another_version(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "utterance_started")
    return [*story[:at], replace(story[at], kind="utterance_sung"), *story[at + 1 :]]


@breaks(Code.BAD_PAYLOAD)
def a_reason_is_not_of_the_closed_list(story: list[Envelope]) -> list[Envelope]:
    return changed(story, "realtime_connection_lost", reason="the_cable_was_cut")


@breaks(Code.BAD_PAYLOAD)
def a_field_is_unknown(story: list[Envelope]) -> list[Envelope]:
    return changed(story, "utterance_started", transcript="hello")


@breaks(Code.BAD_PAYLOAD)
def a_payload_is_no_payload(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "utterance_started")
    return [*story[:at], replace(story[at], payload=b"\xc1"), *story[at + 1 :]]


@breaks(Code.INDEX_DIFFERS)
def the_envelope_names_another_operation_than_the_payload(story: list[Envelope]) -> list[Envelope]:
    return changed(story, "execution_queued", op_id="e9")


@breaks(Code.OTHER_RUN)
def a_record_of_another_run_stands_here(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "utterance_started")
    return [*story[:at], replace(story[at], run_id="run_other"), *story[at + 1 :]]


@breaks(Code.OTHER_CONFIGURATION)
def the_configuration_changes(story: list[Envelope]) -> list[Envelope]:
    first = replace(story[0], fingerprint="sha256:a")
    return [first, replace(story[1], fingerprint="sha256:b"), *story[2:]]


@breaks(Code.EPOCH_DECREASED)
def an_old_writer_writes_again(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "utterance_started")
    return [*(replace(envelope, epoch=2) for envelope in story[:at]), story[at], *_epoch_2(story[at + 1 :])]


def _epoch_2(envelopes: list[Envelope]) -> Iterator[Envelope]:
    return (replace(envelope, epoch=2) for envelope in envelopes)


@breaks(Code.AFTER_SEAL)
def something_happens_after_the_end(story: list[Envelope]) -> list[Envelope]:
    return spliced(story, len(story), insert=[records.UtteranceStarted(utterance_id="u9", response_id="r9")])


@breaks(Code.SEALED_TWICE)
def a_run_ends_twice(story: list[Envelope]) -> list[Envelope]:
    return spliced(story, len(story), insert=[records.RunFailed(reason=Reason.INTERNAL)])


# Operations.


@breaks(Code.OPENED_TWICE)
def an_operation_id_is_used_again(story: list[Envelope]) -> list[Envelope]:
    queued = records.ExecutionQueued(op_id="t1", target="desk.resolve", input_ref="ref.in")
    return with_operation(story, len(story) - 1, [queued, records.ExecutionCancelled(op_id="t1")])


@breaks(Code.CLOSED_TWICE)
def an_operation_is_closed_twice(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "execution_succeeded")
    return spliced(story, at + 1, insert=[replace(story[at], record_id="twin")])


@breaks(Code.OPENER_NOT_NAMED)
def a_closer_does_not_name_its_opener(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "execution_succeeded")
    return [*story[:at], replace(story[at], request_record_id=None), *story[at + 1 :]]


@breaks(Code.OPENER_NOT_NAMED)
def a_closer_names_another_record(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "realtime_interrupted")
    return [*story[:at], replace(story[at], request_record_id=story[0].record_id), *story[at + 1 :]]


@breaks(Code.NO_OPENER)
def an_outcome_has_no_intent(story: list[Envelope]) -> list[Envelope]:
    return spliced(story, index_of(story, "tool_intent_recorded"), drop=1)


@breaks(Code.NO_OPENER)
def an_outcome_comes_before_its_intent(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "execution_queued")
    cut = [envelope for envelope in story[:-1] if envelope.op_id != "e1"]
    return chained([*cut, story[at + 1], story[at], replace(story[at + 1], record_id="x"), story[-1]])


@breaks(Code.NOTHING_IN_DOUBT)
def what_is_certain_is_settled(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "realtime_reconciled")
    return spliced(story, at + 1, insert=[replace(story[at], record_id="twin")])


@breaks(Code.WENT_PAST_DOUBT)
def something_is_sent_while_the_last_send_is_in_doubt(story: list[Envelope]) -> list[Envelope]:
    requested = records.InputSendRequested(op_id="o99", media=Media.TEXT, frame_id="f9", size_bytes=1)
    failed = records.InputSendFailed(op_id="o99", reason=Reason.UNAVAILABLE)
    return with_operation(story, index_of(story, "realtime_reconciled"), [requested, failed])


# Privacy.


@breaks(Code.SENTINEL_FOUND)
def a_card_number_stands_in_a_record(story: list[Envelope]) -> list[Envelope]:
    return changed(story, "utterance_started", response_id=SENTINEL.decode())


@breaks(Code.REFS_DIFFER)
def an_envelope_hides_a_reference(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "execution_queued")
    return [*story[:at], replace(story[at], content_refs=()), *story[at + 1 :]]


@breaks(Code.PRIVACY_TOO_LOW)
def a_record_with_content_is_public(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "execution_queued")
    return [*story[:at], replace(story[at], privacy=Privacy.PUBLIC), *story[at + 1 :]]


@breaks(Code.FREE_TEXT)
def somebody_s_words_stand_in_a_record(story: list[Envelope]) -> list[Envelope]:
    return changed(story, "utterance_started", response_id="my card number is")


@breaks(Code.FREE_TEXT)
def a_name_is_as_long_as_a_book(story: list[Envelope]) -> list[Envelope]:
    return changed(story, "session_started", tags=["x" * 10_000])


# The end.


@breaks(Code.SEALED_EARLY)
def a_run_ends_with_an_open_delivery(story: list[Envelope]) -> list[Envelope]:
    return spliced(story, len(story) - 1, insert=[dispatch("d9", "key-9")])


@breaks(Code.SEALED_EARLY)
def a_run_ends_in_doubt(story: list[Envelope]) -> list[Envelope]:
    doubt = [envelope for envelope in story if envelope.op_id == "o6"][:2]
    rest = [envelope for envelope in story if envelope.op_id != "o6"]
    at = index_of(rest, "realtime_close_requested")  # where nothing comes after it that a doubt forbids
    return chained([*rest[:at], *doubt, *rest[at:]])


@breaks(Code.SEALED_EARLY)
def a_run_ends_with_a_session_that_has_not(story: list[Envelope]) -> list[Envelope]:
    return spliced(story, index_of(story, "session_ended"), drop=1)


@breaks(Code.SEALED_EARLY)
def a_run_ends_with_a_live_connection(story: list[Envelope]) -> list[Envelope]:
    cut = index_of(story, "realtime_close_requested")
    return chained([*story[:cut], *story[cut + 2 :]])


@breaks(Code.NOTHING_VISIBLE)
def a_run_is_completed_and_nothing_came_of_it(story: list[Envelope]) -> list[Envelope]:
    return chained([story[-1]])


# Deliveries and approvals.


@breaks(Code.DELIVERED_TWICE)
def a_delivery_is_repeated(story: list[Envelope]) -> list[Envelope]:
    more = [dispatch("d9", "key-1"), records.OutputDispatchFailed(op_id="d9", reason=Reason.UNAVAILABLE)]
    return with_operation(story, len(story) - 1, more)


@breaks(Code.DELIVERED_TWICE)
def a_delivery_is_repeated_although_it_may_have_arrived(story: list[Envelope]) -> list[Envelope]:
    more = [dispatch("d9", "key-2"), records.OutputDispatchFailed(op_id="d9", reason=Reason.UNAVAILABLE)]
    return with_operation(story, index_of(story, "output_dispatch_reconciled"), more)


@breaks(Code.DELIVERED_TWICE)
def two_deliveries_of_one_key_complete(story: list[Envelope]) -> list[Envelope]:
    d1 = [envelope for envelope in story if envelope.op_id == "d1"]
    more = with_operation(story, 0, [dispatch("d9", "key-1"), records.OutputDispatchCompleted(op_id="d9")])
    rest = [envelope for envelope in story if envelope.op_id != "d1"]
    at = index_of(story, "output_dispatch_requested", "d1")
    deduped = rewritten(rest[at], completed_op_id="d1")
    return chained([*rest[:at], more[0], d1[0], more[1], d1[1], deduped, *rest[at + 1 :]])


@breaks(Code.DELIVERED_TWICE)
def a_delivery_is_skipped_for_one_that_never_was(story: list[Envelope]) -> list[Envelope]:
    return changed(story, "output_dispatch_deduped", completed_op_id="d7")


@breaks(Code.NOT_APPROVED)
def a_tool_runs_on_somebody_else_s_approval(story: list[Envelope]) -> list[Envelope]:
    return changed(story, "approval_dispatch_intent", "a1", subject_op_id="call_7")


@breaks(Code.NOT_APPROVED)
def a_tool_runs_without_the_approval_it_needs(story: list[Envelope]) -> list[Envelope]:
    return changed(story, "tool_intent_recorded", approval_op_id=None)


@breaks(Code.NOT_APPROVED)
def a_pause_ends_with_a_yes_that_nobody_gave(story: list[Envelope]) -> list[Envelope]:
    return chained([envelope for envelope in story if envelope.op_id != "a2"])
