"""Runs whose realtime session breaks an invariant."""

from msgspec.structs import replace

from agentfield_journal import Envelope
from agentfield_rt.audit import Code
from agentfield_rt.core import records
from agentfield_rt.core.records.realtime import Limits
from agentfield_rt.errors import CloseReason, Reason
from agentfield_rt.frames import Media
from tests.audit.mutations import breaks, changed, with_operation
from tests.audit.story import chained, gated, index_of, spliced, window

# The session.


@breaks(Code.IMPOSSIBLE_PHASE)
def a_session_is_used_after_its_end(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "session_ended")
    return spliced(story, at, insert=[records.ConnectionLost(reason=Reason.CONNECTION_LOST)])


@breaks(Code.IMPOSSIBLE_PHASE)
def a_receive_begins_while_the_connection_is_gone(story: list[Envelope]) -> list[Envelope]:
    received = [envelope for envelope in story if envelope.op_id == "o5"]
    rest = [envelope for envelope in story if envelope.op_id != "o5"]
    at = index_of(rest, "realtime_restart_requested")
    return chained([*rest[:at], *received, *rest[at:]])


@breaks(Code.IMPOSSIBLE_PHASE)
def a_realtime_record_is_of_no_session(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "realtime_output_late")
    return [*story[:at], replace(story[at], session_id=None), *story[at + 1 :]]


@breaks(Code.WRONG_CURSOR)
def the_last_send_is_counted_twice(story: list[Envelope]) -> list[Envelope]:
    return changed(story, "realtime_input_sent", "o8", cursor=52)


@breaks(Code.WRONG_CURSOR)
def a_window_sends_more_than_it_announced(story: list[Envelope]) -> list[Envelope]:
    story = changed(story, "realtime_input_sent", "o2", window=window(51), cursor=51)
    return changed(story, "realtime_input_sent", "o8", cursor=52)


@breaks(Code.WRONG_CURSOR)
def events_are_counted_that_did_not_come(story: list[Envelope]) -> list[Envelope]:
    return changed(story, "realtime_output_received", cursor=7)


@breaks(Code.WRONG_CURSOR)
def a_window_that_failed_had_sent_everything(story: list[Envelope]) -> list[Envelope]:
    requested = records.InputSendRequested(op_id="o99", media=Media.AUDIO, frames_max=2)
    failed = records.InputSendFailed(op_id="o99", reason=Reason.UNAVAILABLE, window=window(2))
    story = changed(story, "realtime_input_sent", "o8", cursor=53)
    return with_operation(story, index_of(story, "turn_started"), [requested, failed])


@breaks(Code.RESTARTED_TOO_OFTEN)
def a_budget_is_overdrawn(story: list[Envelope]) -> list[Envelope]:
    return changed(story, "realtime_connect_requested", limits={"high_water": 2, "restarts_max": 0})


@breaks(Code.SENT_WHILE_RESTARTING)
def something_is_sent_into_a_restart(story: list[Envelope]) -> list[Envelope]:
    sent = [envelope for envelope in story if envelope.op_id == "o6"]
    rest = [envelope for envelope in story if envelope.op_id != "o6"]
    at = index_of(rest, "realtime_restart_completed")
    return chained([*rest[:at], *sent, *rest[at:]])


@breaks(Code.GATE_OVERFULL)
def more_frames_wait_than_may(story: list[Envelope]) -> list[Envelope]:
    limits = Limits(high_water=1, low_water=0, restarts_max=1)
    return changed(story, "realtime_connect_requested", limits=limits)


@breaks(Code.GATE_ORDER)
def a_frame_overtakes_another_at_the_gate(story: list[Envelope]) -> list[Envelope]:
    story = changed(story, "realtime_backpressure_released", frame_id="g2")
    return changed(story, "realtime_input_dropped", frame_id="g1")


@breaks(Code.GATE_ORDER)
def a_frame_is_dropped_that_did_not_wait(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "realtime_input_dropped")
    return spliced(story, at, insert=[records.InputDropped(frame_id="nobody", reason=Reason.OVERFLOW)])


@breaks(Code.GATE_ORDER)
def a_frame_waits_twice(story: list[Envelope]) -> list[Envelope]:
    return spliced(story, index_of(story, "realtime_backpressure_applied") + 1, insert=[gated("g1")])


@breaks(Code.FRAME_WITHOUT_FATE)
def a_frame_is_forgotten_at_the_gate(story: list[Envelope]) -> list[Envelope]:
    return spliced(story, index_of(story, "realtime_input_dropped"), drop=1)


@breaks(Code.RESTART_NOT_STARTED)
def a_restart_begins_without_being_asked_for(story: list[Envelope]) -> list[Envelope]:
    return spliced(story, index_of(story, "realtime_restart_requested"), drop=1)


@breaks(Code.RESTART_NOT_STARTED)
def a_restart_is_asked_for_and_does_not_begin(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "realtime_close_requested")
    return spliced(story, at, insert=[records.RestartRequested(reason=Reason.CONNECTION_LOST)])


@breaks(Code.CONNECTION_ID_REPEATED)
def a_new_connection_has_an_old_id(story: list[Envelope]) -> list[Envelope]:
    story = changed(story, "realtime_conversation_restored", connection_id="c1")
    return changed(story, "realtime_restart_completed", connection_id="c1")


@breaks(Code.WRONG_RESPONSE)
def a_response_is_interrupted_that_nobody_knows(story: list[Envelope]) -> list[Envelope]:
    story = changed(story, "realtime_interrupt_requested", response_id="r7")
    story = changed(story, "realtime_output_late", response_id="r7")
    return changed(story, "realtime_interrupted", response_id="r7")


@breaks(Code.WRONG_RESPONSE)
def output_is_late_of_a_response_that_goes_on(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "realtime_interrupt_requested")
    return spliced(story, at, insert=[records.OutputLate(response_id="r1", count=1)])


@breaks(Code.WRONG_RESPONSE)
def another_response_is_interrupted_than_was_meant(story: list[Envelope]) -> list[Envelope]:
    return changed(story, "realtime_interrupted", response_id="r7")


@breaks(Code.CLOSE_REASON_DIFFERS)
def a_close_ends_with_another_reason(story: list[Envelope]) -> list[Envelope]:
    return changed(story, "realtime_closed", reason=CloseReason.SHUTDOWN)


# The conversation.


@breaks(Code.CONVERSATION_DIFFERS)
def a_new_connection_is_told_less_than_was_said(story: list[Envelope]) -> list[Envelope]:
    return changed(story, "realtime_conversation_restored", left_out=0)


@breaks(Code.CONVERSATION_DIFFERS)
def a_new_connection_is_told_more_than_was_said(story: list[Envelope]) -> list[Envelope]:
    return changed(story, "realtime_conversation_restored", restored=6)


@breaks(Code.CONVERSATION_DIFFERS)
def a_conversation_is_told_to_an_old_connection(story: list[Envelope]) -> list[Envelope]:
    return changed(story, "realtime_conversation_restored", connection_id="c1")


@breaks(Code.CONVERSATION_DIFFERS)
def the_output_of_a_tool_is_told_twice(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "utterance_played")
    return spliced(story, at, insert=[records.ToolCallAnswered(call_id="call_1", output_ref="ref.output")])


@breaks(Code.CONVERSATION_DIFFERS)
def an_utterance_is_heard_again_from_its_beginning(story: list[Envelope]) -> list[Envelope]:
    at = index_of(story, "utterance_played")
    again = records.UtteranceResumed(utterance_id="u2", heard_ms=100, heard_ref="ref.heard")
    return spliced(story, at, insert=[again])
