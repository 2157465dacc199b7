"""What the agent says: a queue of utterances, one playing at a time, each with one final outcome.

Decides nothing about the provider: `send` hands an utterance over, the session reports what it hears.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from agentfield_journal import JournalError
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import ProviderError, RealtimeError, Reason
from agentfield_rt.idle import Signal
from agentfield_rt.voice.heard import HeardText
from agentfield_rt.voice.link import FINAL_STATES, UtteranceState

QUEUED_MAX = 64
BEGIN_MAX_S = 15.0
PLAY_MAX_S = 300.0


@dataclass(slots=True, eq=False)
class Utterance:
    """Something to be said. Satisfies `UtteranceTicket`."""

    utterance_id: str
    text: str | None
    instructions: str | None
    turn_id: str | None
    state: UtteranceState = UtteranceState.PLANNED
    response_id: str | None = None
    reason: Reason | None = None
    transcript: HeardText = field(default_factory=HeardText)
    started_at: float | None = None
    heard_ms: int | None = None
    audio_bytes: int = 0
    unwanted: bool = False
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    final: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def heard(self) -> str:
        if self.state is UtteranceState.INTERRUPTED:
            return self.transcript.until(self.heard_ms or 0)
        return self.transcript.whole

    async def wait(self) -> None:
        await self.final.wait()


class Utterances:
    """The queue and the one that is being said.

    Args:
        send: Asks the provider to speak; raises `ProviderError` when it will not.
        stop: Asks it to be silent, where an utterance took too long.
        record: Writes records for an utterance's turn.
        keep: Puts text into the content store and returns its reference.
    """

    def __init__(
        self,
        send: Callable[[Utterance], Awaitable[None]],
        stop: Callable[[Utterance], Awaitable[None]],
        record: Callable[[Record, str | None], None],
        keep: Callable[[str], str],
    ) -> None:
        self._send = send
        self._stop = stop
        self._record = record
        self._keep = keep
        self._queue: list[Utterance] = []
        self._current: Utterance | None = None
        self._wake = Signal()
        self._hold = False

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
            self._wake.set()

    def hold(self, *, while_user_speaks: bool) -> None:
        """Begin nothing new while the user is speaking."""
        self._hold = while_user_speaks
        self._wake.set()

    async def run(self) -> None:
        """Say one after the other until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue and not self._hold:
                await self._say(self._queue.pop(0))

    async def _say(self, utterance: Utterance) -> None:
        self._current = utterance
        utterance.state = UtteranceState.SYNTHESISING
        try:
            await self._send(utterance)
            async with asyncio.timeout(BEGIN_MAX_S):
                await utterance.begun.wait()
            async with asyncio.timeout(PLAY_MAX_S):
                await utterance.final.wait()
        except ProviderError as error:
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

    def failed(self, utterance: Utterance, reason: Reason) -> None:
        self._finish(utterance, UtteranceState.FAILED, reason)

    def skip_queued(self, reason: Reason) -> None:
        """Say nothing of what waits."""
        while self._queue:
            self._finish(self._queue.pop(0), UtteranceState.SKIPPED, reason)

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
        try:
            self._record(self._closer(utterance), utterance.turn_id)
        finally:  # what the journal refuses is owed, and nobody waits for that
            utterance.begun.set()
            utterance.final.set()

    def _closer(self, utterance: Utterance) -> Record:
        op_id = utterance.utterance_id
        match utterance.state:
            case UtteranceState.PLAYED:
                return records.UtterancePlayed(op_id=op_id, heard_ref=self._keep_heard(utterance))
            case UtteranceState.INTERRUPTED:
                return records.UtteranceInterrupted(
                    op_id=op_id, heard_ref=self._keep_heard(utterance), heard_ms=utterance.heard_ms
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
