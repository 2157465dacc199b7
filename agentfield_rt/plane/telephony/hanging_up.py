"""Ends a session whose call is over, whatever becomes of its records."""

import logging

from agentfield_journal import JournalError
from agentfield_rt.errors import CloseReason
from agentfield_rt.voice.session import VoiceSession

log = logging.getLogger(__name__)


async def hang_up(session: VoiceSession, reason: CloseReason = CloseReason.CALLER_GONE) -> None:
    """End the session; an end that cannot be recorded is logged, since no caller is left to be told."""
    try:
        await session.close(reason)
    except JournalError as error:
        log.error("the end of session %s is not recorded: %s", session.session_id, type(error).__name__)
