"""What the agent says: a queue of utterances, one playing at a time, each with one final outcome.

Decides nothing about the provider: `send` hands an utterance over, the session reports what it hears.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from agentfield_journal import JournalError
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import ConnectionLost, ProviderError, RealtimeError, Reason
from agentfield_rt.idle import Signal
from agentfield_rt.voice.answers import OwnAnswers
from agentfield_rt.voice.link import FINAL_STATES, UtteranceState
from agentfield_rt.voice.tasks import Spawn, is_cancelled
from agentfield_rt.voice.utterance import Utterance

QUEUED_MAX = 64
BEGIN_MAX_S = 15.0
PLAY_MAX_S = 300.0
STOP_MAX_S = 1.0

IN_VAIN_MAX = 3
"""Connections in a row that may be lost under an utterance of which nothing was heard; then it fails."""


class Utterances:
    """The queue and the one that is being said.

    Args:
        send: Asks the provider to speak; raises `ProviderError` when it will not.
        stop: Asks it to be silent, where an utterance took too long.
        record: Writes records for an utterance's turn.
        keep: Puts text into the content store and returns its reference.
        outlives_connections: What was asked over a connection that is lost may be said all the same.

    Attributes:
        answers: What the model says by itself, beside the queue.
    """

    def __init__(
        self,
        send: Callable[[Utterance], Awaitable[None]],
        stop: Callable[[Utterance], Awaitable[None]],
        record: Callable[[Record, str | None], None],
        keep: Callable[[str], str],
        *,
        outlives_connections: bool = False,
    ) -> None:
        self._send = send
        self._stop = stop
        self._record = record
        self._keep = keep
        self._queue: list[Utterance] = []
        self._current: Utterance | None = None
        self._wake = Signal()
        self._spawn: Spawn | None = None
        self._task: asyncio.Task[None] | None = None
        self._hold = False
        self._is_paused = False
        self._sending: asyncio.Future[None] | None = None
        self._outlives_connections = outlives_connections
        self.answers = OwnAnswers(record, keep)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being said, and nothing waits to be."""
        return self._current is None and not self._queue and not self.answers.is_open

    @property
    def current(self) -> Utterance | None:
        """The one that is being said."""
        return self._current

    def add(self, utterance: Utterance) -> None:
        """Queue it; admission is decided here, at the call."""
        self._record(
            records.UtteranceRequested(
                op_id=utterance.utterance_id,
                text_ref=self._keep(utterance.text or utterance.instructions or ""),
                verbatim=utterance.text is not None,
            ),
            utterance.turn_id,
        )
        if not (utterance.text or utterance.instructions):
            self._finish(utterance, UtteranceState.SKIPPED, Reason.INVALID_REQUEST)
        elif len(self._queue) >= QUEUED_MAX:
            self._finish(utterance, UtteranceState.SKIPPED, Reason.UNAVAILABLE)
        else:
            self._queue.append(utterance)
            self._proceed()

    def begin(self, spawn: Spawn) -> None:
        """From now on what is asked for is said, by a task that is made for the first of it."""
        self._spawn = spawn
        self._proceed()

    def _proceed(self) -> None:
        if self._task is None and self._spawn is not None and self._queue:
            self._task = self._spawn(self._run(), "utterances")
        self._wake.set()

    def hold(self, *, while_user_speaks: bool) -> None:
        """Begin nothing new while the user is speaking."""
        self._hold = while_user_speaks
        self._wake.set()

    def pause(self) -> None:
        """There is no connection: begin nothing until `go_on`."""
        self._is_paused = True

    async def unsent(self) -> None:
        """Return once nothing more is handed to the connection that is gone."""
        if self._sending is not None and not self._sending.done():
            await asyncio.wait([self._sending], timeout=STOP_MAX_S)

    def go_on(self) -> None:
        """There is a connection again."""
        self._is_paused = False
        self._wake.set()

    async def _run(self) -> None:
        """Say one after the other until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue and not (self._hold or self._is_paused):
                await self._say(self._queue.pop(0))

    async def _say(self, utterance: Utterance) -> None:
        self._current = utterance
        utterance.state = UtteranceState.SYNTHESISING
        utterance.begun.clear()
        utterance.part_over.clear()
        part = utterance.part
        try:
            self._sending = asyncio.ensure_future(self._send(utterance))
            await self._sending
            async with asyncio.timeout(BEGIN_MAX_S):
                await utterance.begun.wait()
            async with asyncio.timeout(PLAY_MAX_S):
                await utterance.part_over.wait()
        except asyncio.CancelledError:
            if utterance.part == part or is_cancelled():
                raise
        except ProviderError as error:
            if utterance.part != part:
                return  # the connection is gone, and somebody knew before us
            is_lost = isinstance(error, ConnectionLost) or error.reason is Reason.SUPERSEDED
            if is_lost and not self._outlives_connections:
                self.take_up(0)
            else:
                self.failed(utterance, error.reason)
        except RealtimeError:  # the session is closing, or more waits for the connection than may
            self.failed(utterance, Reason.UNAVAILABLE)
        except TimeoutError:
            self.failed(utterance, Reason.TIMEOUT)
            await self._stop(utterance)  # nobody is to hear what counts as failed

    def started(self, utterance: Utterance, response_id: str, *, now_s: float) -> None:
        """The caller begins to hear it."""
        if utterance.state in FINAL_STATES or utterance.started_at is not None:
            return
        utterance.state = UtteranceState.PLAYING
        utterance.started_at = now_s
        utterance.begun.set()
        self._record(
            records.UtteranceStarted(utterance_id=utterance.utterance_id, response_id=response_id),
            utterance.turn_id,
        )

    def played(self, utterance: Utterance) -> None:
        """The caller heard it to its end."""
        self._finish(utterance, UtteranceState.PLAYED)

    def interrupted(self, utterance: Utterance, heard_ms: int) -> None:
        """The caller heard only the beginning; what waits behind it is stale as well."""
        if utterance.state in FINAL_STATES:
            return  # what was queued since is no longer stale
        utterance.heard_ms = heard_ms
        self._finish(utterance, UtteranceState.INTERRUPTED)
        self.skip_queued(Reason.SUPERSEDED)

    def take_up(self, heard_ms: int) -> None:
        """The connection is lost, with the current one: what of it was not heard is said on the next.

        The caller had begun to listen to it, and goes on listening; nothing is said to them twice. One that
        somebody wanted to stop stops here.
        """
        utterance = self._current
        if utterance is None:
            return
        if utterance.unwanted or utterance.heard_ms is not None:  # it is being cut
            self.interrupted(utterance, heard_ms if utterance.heard_ms is None else utterance.heard_ms)
            return
        response_id = utterance.response_id
        utterance.take_up(heard_ms)
        if utterance.rest == "":
            utterance.response_id = response_id
            self.played(utterance)
            return
        if utterance.in_vain >= IN_VAIN_MAX:
            self.failed(utterance, Reason.CONNECTION_LOST)
            return
        self._record(
            records.UtteranceResumed(
                utterance_id=utterance.utterance_id,
                heard_ms=utterance.before_ms,
                heard_ref=self._keep(utterance.before) if utterance.before else None,
                response_id=response_id,
            ),
            utterance.turn_id,
        )
        if self._sending is not None:
            self._sending.cancel()  # it may not have reached the old connection, and must not reach the new
        self._current = None
        utterance.state = UtteranceState.PLANNED
        self._queue.insert(0, utterance)
        self._wake.set()
        utterance.begun.set()
        utterance.part_over.set()

    def drop_rest(self) -> None:
        """The user speaks, so nobody waits for the rest of what a lost connection broke off."""
        if self._queue and self._queue[0].before:
            self.interrupted(self._queue[0], 0)

    def failed(self, utterance: Utterance, reason: Reason) -> None:
        self._finish(utterance, UtteranceState.FAILED, reason)

    def skip_queued(self, reason: Reason) -> None:
        """Say nothing of what waits."""
        while self._queue:
            utterance = self._queue.pop(0)
            if utterance.before:
                utterance.heard_ms = 0
                self._finish(utterance, UtteranceState.INTERRUPTED)
            else:
                self._finish(utterance, UtteranceState.SKIPPED, reason)

    def end(self, heard_ms: int) -> None:
        """The session is over: whatever is being said stops here."""
        self.skip_queued(Reason.CANCELLED)
        if self._current is None:
            return
        if self._current.state is UtteranceState.PLAYING:
            self.interrupted(self._current, heard_ms)
        else:
            self._finish(self._current, UtteranceState.SKIPPED, Reason.CANCELLED)

    def _finish(self, utterance: Utterance, state: UtteranceState, reason: Reason | None = None) -> None:
        if utterance.state in FINAL_STATES:
            return  # an outcome is written once
        utterance.state = state
        utterance.reason = reason
        if self._current is utterance:
            self._current = None
        if utterance in self._queue:
            self._queue.remove(utterance)
        try:
            self._record(self._closer(utterance), utterance.turn_id)
        finally:  # what the journal refuses is owed, and nobody waits for that
            utterance.begun.set()
            utterance.part_over.set()
            utterance.final.set()

    def _closer(self, utterance: Utterance) -> Record:
        op_id, response_id = utterance.utterance_id, utterance.response_id
        match utterance.state:
            case UtteranceState.PLAYED:
                heard_ref = self._keep_heard(utterance)
                return records.UtterancePlayed(op_id=op_id, heard_ref=heard_ref, response_id=response_id)
            case UtteranceState.INTERRUPTED:
                return records.UtteranceInterrupted(
                    op_id=op_id,
                    heard_ref=self._keep_heard(utterance),
                    heard_ms=utterance.heard_total_ms,
                    response_id=response_id,
                )
            case UtteranceState.SKIPPED:
                return records.UtteranceSkipped(op_id=op_id, reason=utterance.reason or Reason.CANCELLED)
            case _:
                return records.UtteranceFailed(op_id=op_id, reason=utterance.reason or Reason.INTERNAL)

    def _keep_heard(self, utterance: Utterance) -> str | None:
        """Words that cannot be kept take nothing away from the outcome."""
        heard = utterance.heard
        with contextlib.suppress(JournalError):
            return self._keep(heard) if heard else None
        return None
