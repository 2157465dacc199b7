"""What the auditor knows of records: who closes whom, which record is possible when.

Written down a second time on purpose, by kind: an auditor that read the runtime's own table would find every
mistake in it correct. `tests/audit/test_tables.py` compares the two.
"""

OPERATIONS: dict[str, frozenset[str]] = {
    "realtime_connect_requested": frozenset(
        {"realtime_connected", "realtime_connect_failed", "realtime_connect_unknown"}
    ),
    "realtime_input_send_requested": frozenset(
        {"realtime_input_sent", "realtime_input_send_failed", "realtime_input_send_unknown"}
    ),
    "realtime_output_receive_requested": frozenset(
        {"realtime_output_received", "realtime_output_receive_empty", "realtime_output_receive_failed"}
    ),
    "realtime_interrupt_requested": frozenset(
        {"realtime_interrupted", "realtime_interrupt_failed", "realtime_interrupt_unknown"}
    ),
    "realtime_refer_requested": frozenset(
        {"realtime_referred", "realtime_refer_failed", "realtime_refer_unknown"}
    ),
    "realtime_restart_started": frozenset(
        {"realtime_restart_completed", "realtime_restart_failed", "realtime_restart_unknown"}
    ),
    "realtime_close_requested": frozenset(
        {"realtime_closed", "realtime_detached", "realtime_close_failed", "realtime_close_unknown"}
    ),
    "turn_started": frozenset({"turn_completed", "turn_failed"}),
    "utterance_requested": frozenset(
        {"utterance_played", "utterance_interrupted", "utterance_failed", "utterance_skipped"}
    ),
    "tool_intent_recorded": frozenset({"tool_result_recorded"}),
    "execution_queued": frozenset({"execution_succeeded", "execution_failed", "execution_cancelled"}),
    "stream_intervention_requested": frozenset({"stream_intervention_applied", "stream_intervention_failed"}),
    "approval_dispatch_intent": frozenset(
        {"approval_granted", "approval_denied", "approval_expired", "approval_cancelled"}
    ),
    "output_dispatch_requested": frozenset(
        {
            "output_dispatch_completed",
            "output_dispatch_failed",
            "output_dispatch_reconciliation_needed",
        }
    ),
    "recording_started": frozenset({"recording_stored", "recording_failed"}),
}
"""Every opener, and the kinds of which exactly one closes it."""

CLOSES = {closer: opener for opener, closers in OPERATIONS.items() for closer in closers}

DOUBTS = {
    "realtime_connect_unknown": "realtime_reconciled",
    "realtime_input_send_unknown": "realtime_reconciled",
    "realtime_refer_unknown": "realtime_reconciled",
    "realtime_restart_unknown": "realtime_reconciled",
    "realtime_close_unknown": "realtime_reconciled",
    "output_dispatch_reconciliation_needed": "output_dispatch_reconciled",
}
"""Closers that leave in doubt what happened, and the record that settles it."""

SETTLES = frozenset(DOUBTS.values())

REPEATS_AN_EFFECT = frozenset(
    {
        "realtime_connect_requested",
        "realtime_input_send_requested",
        "realtime_interrupt_requested",
        "realtime_refer_requested",
        "realtime_restart_started",
    }
)
"""Openers that must not come while something of the session is in doubt."""

SEALS = frozenset({"run_completed", "run_failed", "run_cancelled"})
REPORTS = frozenset({"subcall_reported", "execution_noted", "execution_usage_reported"})
AFTER_SEAL = SETTLES | REPORTS | {"realtime_emergency_closed"}

VISIBLE = frozenset(
    {
        "execution_cancelled",
        "execution_failed",
        "execution_succeeded",
        "output_dispatch_completed",
        "realtime_output_received",
        "session_ended",
        "utterance_interrupted",
        "utterance_played",
    }
)
"""Records of something that somebody outside could see."""

TERMINAL = frozenset({"closed", "detached", "failed"})
AT_REST = TERMINAL | {"idle"}
_CONNECTED = ("open", "restarting", "degraded", "closing")
_LIVE = ("connecting", *_CONNECTED)
_ALL = ("idle", *_LIVE, "closed", "detached", "failed")


def _stays(*phases: str) -> dict[str, str]:
    return {phase: phase for phase in phases}


def _to(target: str, *phases: str) -> dict[str, str]:
    return dict.fromkeys(phases, target)


PHASES: dict[str, dict[str, str]] = {
    "realtime_connect_requested": _to("connecting", "idle"),
    "realtime_connected": _to("open", "connecting"),
    "realtime_connect_failed": _to("idle", "connecting"),
    "realtime_connect_unknown": _to("degraded", "connecting"),
    "realtime_input_send_requested": _stays("open"),
    "realtime_input_sent": _stays(*_CONNECTED),
    "realtime_input_send_failed": _stays(*_CONNECTED),
    "realtime_input_send_unknown": _stays(*_CONNECTED),
    "realtime_output_receive_requested": _stays("open", "restarting"),
    "realtime_output_received": _stays(*_CONNECTED),
    "realtime_output_receive_empty": _stays(*_CONNECTED),
    "realtime_output_receive_failed": _stays(*_CONNECTED),
    "realtime_output_late": _stays(*_CONNECTED),
    "realtime_interrupt_requested": _stays("open", "restarting"),
    "realtime_interrupted": _stays(*_CONNECTED),
    "realtime_interrupt_failed": _stays(*_CONNECTED),
    "realtime_interrupt_unknown": _stays(*_CONNECTED),
    "realtime_refer_requested": _stays("open"),
    "realtime_referred": _stays(*_CONNECTED),
    "realtime_refer_failed": _stays(*_CONNECTED),
    "realtime_refer_unknown": _stays(*_CONNECTED),
    "realtime_restart_requested": _stays("open", "degraded"),
    "realtime_restart_started": _to("restarting", "open", "degraded"),
    "realtime_restart_completed": {"restarting": "open", "closing": "closing"},
    "realtime_conversation_restored": _stays("open", "closing"),
    "realtime_restart_failed": {"restarting": "degraded", "closing": "closing"},
    "realtime_restart_unknown": {"restarting": "degraded", "closing": "closing"},
    "realtime_close_requested": _to("closing", *_CONNECTED),
    "realtime_closed": _to("closed", "closing"),
    "realtime_detached": _to("detached", "closing"),
    "realtime_emergency_closed": _to("closed", *_LIVE),
    "realtime_close_failed": _stays("closing"),
    "realtime_close_unknown": _stays("closing"),
    "realtime_backpressure_applied": _stays("open", "restarting", "degraded"),
    "realtime_backpressure_released": _stays("open"),
    "realtime_input_dropped": _stays(*_LIVE),
    "realtime_connection_lost": {"open": "degraded", "restarting": "restarting"},
    "realtime_failed": _to("failed", "idle", *_LIVE),
    "realtime_reconciled": _stays(*_ALL),
}
"""From a phase, by a record, to the next phase."""
