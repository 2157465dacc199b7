"""Runs the application's handler, again and again until the call is over. Knows no provider."""

import logging

from agentfield_rt.errors import CloseReason, Reason, SessionClosed
from agentfield_rt.voice.link import Handler, SessionLink
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
        try:
            await handler(link)
        except SessionClosed:
            return
        except (Exception, SystemExit):  # `sys.exit` in a library ends its turn, not the server
            # Its text may hold what the user said: the traceback is for hosts that ask for it.
            in_detail = log.isEnabledFor(logging.DEBUG)
            log.warning("the handler of session %s raised", link.session_id, exc_info=in_detail)
            failures = 1 if turns.answered_total > answered_before else failures + 1
            turns.fail(Reason.HANDLER_ERROR)
            if failures >= FAILURES_MAX:
                await link.close(CloseReason.HANDLER_FAILURE)
                return
            _apologise(link, apology)
        else:
            turns.complete()
            if for_a_turn and turns.taken_total == taken_before:
                turns.pass_over()  # it will not take this one next time either
        await turns.waiting()


def _apologise(link: SessionLink, apology: str | None) -> None:
    if apology:
        try:
            link.say(apology, None)
        except SessionClosed:
            log.info("session %s ended before its apology", link.session_id)
