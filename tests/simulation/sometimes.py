"""What must have happened somewhere: worlds in which it never does prove little."""

OFTEN = {
    # What goes wrong.
    "a process died",
    "power cut",
    "the power went in the middle of a commit",
    "unsynced writes were lost",
    "takeover",
    "lease lost",
    "the clock jumped",
    "the handler raised",
    "JournalFull",
    "JournalUnavailable",
    # What the runtime makes of it.
    "RepairNeeded",
    "a run had several owners",
    "a run was ended without its session",
    "a session was recovered",
    "an owed outcome was paid",
    "window cut",
    "window unknown",
    "approval_cancelled",
    "approval_expired",
    "approval_granted",
    "output_dispatch_deduped",
    "output_dispatch_reconciled",
    "realtime_backpressure_released",
    "realtime_connect_unknown",
    "realtime_conversation_restored",
    "realtime_emergency_closed",
    "realtime_input_dropped",
    "realtime_interrupt_unknown",
    "realtime_interrupted",
    "realtime_output_late",
    "realtime_policy_denied",
    "realtime_restart_completed",
    "realtime_restart_unknown",
    "run_completed",
    "run_failed",
    "utterance_interrupted",
    "utterance_resumed",
}
"""In fifty session-hours."""

SELDOM = {
    "a write was torn",
    "a delivery was reconciled after its process died",
    "GateOverflow",
    "realtime_close_failed",
}
"""Besides that, in a thousand."""
