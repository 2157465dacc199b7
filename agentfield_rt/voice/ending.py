"""The end of a session: its tasks, its conversation, its connection, its last record, in this order and once.

What the journal does not take is missing until the end is asked for again, or the run is opened again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core import records
from agentfield_rt.core.records import Decision, Record
from agentfield_rt.errors import CloseReason, ConnectionLost, RealtimeError, Reason
from agentfield_rt.idle import Signal
from agentfield_rt.voice.tasks import SessionTasks

log = logging.getLogger(__name__)


class Ending:
    """How one session ends.

    Args:
        controller: Drives the provider; its run is the session's.
        record: Writes a record of the session.
        end_conversation: Gives everything that was opened its outcome; may be called again.
        end_recording: Keeps the call's recording, whose last window is in the journal by then.
        ended: Called when it is over, also when the journal is gone.

    Attributes:
        reason: Why it ends; the first reason holds.
    """

    def __init__(
        self,
        controller: RealtimeSessionController,
        record: Callable[[Record], None],
        end_conversation: Callable[[], Awaitable[None]],
        end_recording: Callable[[], Awaitable[None]],
        *,
        ended: Callable[[], None],
    ) -> None:
        session_id = controller.state.session_id
        self.tasks = SessionTasks(session_id, failed=lambda: self.begin(CloseReason.INTERNAL))
        self.reason: CloseReason | None = None
        self.is_over = Signal()
        self._run = controller.run
        self._controller = controller
        self._record = record
        self._end_conversation = end_conversation
        self._end_recording = end_recording
        self._ended = ended
        self._closing: asyncio.Task[None] | None = None
        self._is_recorded = False

    @property
    def has_begun(self) -> bool:
        return self._closing is not None

    def begin(self, reason: CloseReason) -> asyncio.Task[None]:
        """End it, once; what is missing of an end that failed is made up for."""
        if self._closing is None or _has_failed(self._closing):
            self.reason = self.reason or reason
            self._closing = asyncio.create_task(
                self._close(self.reason), name=f"end {self._controller.state.session_id}"
            )
            self._closing.add_done_callback(self._has_closed)
        return self._closing

    async def _close(self, reason: CloseReason) -> None:
        try:
            await self._end(reason)
        except asyncio.CancelledError:  # the event loop ends, and waits for us
            await self._end(reason)
            raise
        finally:  # also when the journal is gone: nobody waits for ever
            self._ended()
            self.is_over.set()

    async def _end(self, reason: CloseReason) -> None:
        await self.tasks.stop()
        try:
            await self._end_conversation()
        finally:  # also when the journal takes nothing of that: the microphone does not stay open
            await self._hang_up(reason)
        self.abandon_unknown()
        await self._end_recording()
        if not self._is_recorded:
            self._record(records.SessionEnded(reason=reason))
            self._is_recorded = True
        await self._run.durable()

    async def _hang_up(self, reason: CloseReason) -> None:
        try:
            await self._controller.close(reason)
        except RealtimeError:
            # The provider could not be told. The session is over all the same, and says so.
            self._controller.fail(Reason.UNAVAILABLE)

    def abandon_unknown(self) -> None:
        """Doubt about what reached the provider ends here: it is not tried again."""
        for op_id in self._controller.state.unknown:
            self._controller.reconcile(op_id, Decision.ABANDONED)

    def _has_closed(self, closing: asyncio.Task[None]) -> None:
        """What the journal did not take of the end is written when the run is opened again (`end_run`)."""
        if not closing.cancelled() and (error := closing.exception()) is not None:
            session_id = self._controller.state.session_id
            log.error("the end of session %s is not recorded: %s", session_id, type(error).__name__)


def closes_as(lost: ConnectionLost) -> CloseReason:
    """Why a session ends whose connection is lost for good."""
    return CloseReason.TAMPERED if lost.reason is Reason.TAMPERED else CloseReason.PROVIDER_FAILURE


def _has_failed(task: asyncio.Task[None]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
