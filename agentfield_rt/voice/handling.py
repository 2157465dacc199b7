"""Runs the application's handler, again and again until the call is over. Knows no provider."""

import asyncio
import logging
import traceback

from agentfield_rt.errors import CloseReason, Reason, SessionClosed
from agentfield_rt.voice.link import Handler, HandlerLost, SessionLink
from agentfield_rt.voice.tasks import is_cancelled
from agentfield_rt.voice.turns import Turns

log = logging.getLogger(__name__)

FAILURES_MAX = 3
"""A handler that raises so often in a row, with no turn answered in between, ends the call."""


async def run_handler(handler: Handler, link: SessionLink, *, turns: Turns, apology: str | None) -> None:
    """Run `handler` until the call is over: once for each turn that it does not loop over itself."""
    failures = 0
    while not turns.ended:
        answered_before, taken_before = turns.answered_total, turns.taken_total
        for_a_turn = turns.any_waiting
        patience = asyncio.timeout(None)
        try:
            async with patience:
                turns.bound_by(patience)
                try:
                    await handler(link)
                finally:
                    turns.bound_by(None)
        # `sys.exit` in a library ends its turn, not the server, and so does what it awaits and is cancelled.
        except (Exception, BaseExceptionGroup, SystemExit, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                raise
            if isinstance(error, SessionClosed) and link.is_over:  # it may as well be another session's
                return
            _log(error, link)
            if isinstance(error, HandlerLost):
                if not turns.lose():
                    await turns.waiting()
                    continue
            else:
                turns.fail(Reason.TIMEOUT if patience.expired() else Reason.HANDLER_ERROR)
            failures = 1 if turns.answered_total > answered_before else failures + 1
            if failures >= FAILURES_MAX:
                await link.close(CloseReason.HANDLER_FAILURE)
                return
            _apologise(link, apology)
        else:
            turns.complete()
            if for_a_turn and turns.taken_total == taken_before:
                turns.pass_over()  # it will not take this one next time either
        await turns.waiting()


def _log(error: BaseException, link: SessionLink) -> None:
    """Its text may hold what the user said: the traceback is for hosts that ask for it."""
    in_detail = log.isEnabledFor(logging.DEBUG)
    kind, place = type(error).__name__, _place(error)
    log.warning("the handler of session %s raised %s at %s", link.session_id, kind, place, exc_info=in_detail)


def _place(error: BaseException) -> str:
    """File and line where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"


def _apologise(link: SessionLink, apology: str | None) -> None:
    if apology:
        try:
            link.say(apology, None)
        except SessionClosed:
            log.info("session %s ended before its apology", link.session_id)
