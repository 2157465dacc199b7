"""Records to test with."""

from agentfield_journal.envelope import Draft


def make_draft(number: int, *, payload: bytes = b"\x81\xa1n\x01") -> Draft:
    """A draft as a session would write it; equal numbers and payloads give equal drafts."""
    return Draft(
        record_id=f"record-{number}",
        kind="realtime_input_sent",
        at_ns=1_763_670_000_000_000_000 + number,
        payload=payload,
        op_id=f"op-{number // 2}",
        request_record_id=f"record-{number - 1}" if number % 2 else None,
        session_id="session-1",
        causal_refs=(f"record-{number - 1}",),
    )
