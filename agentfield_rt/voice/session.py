"""A voice session: listens to the provider, hands turns to the handler, speaks for it, ends once.

Knows no HTTP and no wire format. The controller owns the provider boundary; this owns the
conversation on top of it and every task that runs for it.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Coroutine, Mapping
from typing import Any

from agentfield_journal.envelope import Retention
from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core import records
from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.core.records import Decision, Record, TurnSource
from agentfield_rt.errors import (
    CloseReason,
    ConnectionLost,
    IllegalCommand,
    ProviderError,
    RealtimeError,
    Reason,
    RepairNeeded,
    SessionClosed,
)
from agentfield_rt.frames import AudioFrame, CallEnded, InputFrame, ProviderEvent, SpeechFrame, TextFrame
from agentfield_rt.ports import Connection
from agentfield_rt.run import Context, Run
from agentfield_rt.voice.conversation import Conversation
from agentfield_rt.voice.handling import run_handler
from agentfield_rt.voice.link import ExecutionRequest, Handler, Turn
from agentfield_rt.voice.live import LiveFeed
from agentfield_rt.voice.player import Caller, Player
from agentfield_rt.voice.spec import SessionServices, SessionSpec
from agentfield_rt.voice.tools import ToolCalls
from agentfield_rt.voice.turns import Turns
from agentfield_rt.voice.utterances import Utterance, Utterances

log = logging.getLogger(__name__)

EVENTS_PER_RECEIVE_MAX = 64
RESTARTS_MAX = 3
STOP_MAX_S = 3.0
SILENCE_MAX_S = 2.0


class VoiceSession:
    """One call. Satisfies `SessionLink` for its handler.

    Args:
        run: The run everything is written to.
        controller: Drives the provider; not connected yet.
        handler: The application's; None when the provider's model answers by itself.
    """

    def __init__(
        self,
        spec: SessionSpec,
        run: Run,
        *,
        controller: RealtimeSessionController,
        services: SessionServices,
        handler: Handler | None,
    ) -> None:
        self.spec = spec
        self.live = LiveFeed()
        self._run = run
        self._controller = controller
        self._services = services
        self._handler = handler
        self._turns = Turns(self._record, self._keep)
        self._utterances = Utterances(self._speak, self._record, self._keep)
        self._tools = ToolCalls(spec.tools, self._send, self.call, self._record, self._keep)
        self._player: Player | None = None
        self._conversation = Conversation(
            turns=self._turns, utterances=self._utterances, live=self.live, clock=services.clock, spec=spec
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._restarts = 0
        self._close_reason: CloseReason | None = None

    @property
    def session_id(self) -> str:
        return self.spec.session_id

    @property
    def run_id(self) -> str:
        return self._run.run_id

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.spec.metadata

    @property
    def phase(self) -> str:
        """The lifecycle phase of the provider boundary."""
        return self._controller.state.phase.value

    @property
    def close_reason(self) -> CloseReason | None:
        return self._close_reason

    @property
    def is_over(self) -> bool:
        return self._closing is not None

    @property
    def has_ended(self) -> bool:
        """Whether it is over and all of it is recorded."""
        return self._ended.is_set()

    async def ended(self) -> None:
        """Return once the session is over and all of it is recorded."""
        await self._ended.wait()

    def start(self) -> None:
        """Write down that this session exists and what it may do."""
        spec = self.spec
        self._record(
            records.SessionStarted(
                target=spec.target,
                provider=spec.provider,
                transport=spec.transport,
                model=spec.config.model,
                voice=spec.config.voice,
                modalities=spec.config.modalities,
                tools=tuple(sorted(spec.tools.values())),
                tags=spec.tags,
            )
        )

    # The caller's side.

    async def connect(self, *, offer_sdp: str | None = None, caller: Caller | None = None) -> Connection:
        """Connect to the provider and let the handler begin.

        Args:
            offer_sdp: The browser's offer where media flows browser ↔ provider.
            caller: Takes the agent's audio where media flows through us.

        Raises:
            SessionClosed: the session is over.
            IllegalCommand: it is connected already.
            ProviderError: the provider is not to be had.
        """
        if self.is_over:
            raise SessionClosed(f"session {self.session_id} is over; start a new one")
        try:
            connection = await self._controller.connect(offer_sdp=offer_sdp)
        except IllegalCommand:
            raise
        except BaseException:
            if self._controller.state.phase is Phase.DEGRADED:
                self._begin_end(CloseReason.PROVIDER_FAILURE)  # there may be a connection nobody holds
            raise
        if caller is not None:
            self._player = Player(caller, self._conversation.handle)
            self._spawn(self._player.run(), "player")
        self._spawn(self._listen(), "listen")
        self._spawn(self._utterances.run(), "utterances")
        if self._handler is not None:
            running = run_handler(self._handler, self, turns=self._turns, apology=self.spec.apology)
            self._spawn(running, "handler")
        await self._run.durable()  # the caller is told of a connection that no crash can undo
        return connection

    async def hear_audio(self, pcm: bytes) -> None:
        """Pass on user audio: mono int16 PCM at 24 kHz.

        Raises:
            IllegalCommand, GateOverflow, ProviderError: see `RealtimeSessionController.send`.
        """
        await self._send(AudioFrame(f"frm_{secrets.token_hex(8)}", pcm))

    async def hear_text(self, text: str) -> str:
        """The user typed a turn; returns its id once the turn is durable.

        Raises:
            SessionClosed: the session is over.
            IllegalCommand: it is not connected yet.
            ProviderError: the provider did not take it.
        """
        if self.is_over:
            raise SessionClosed(f"session {self.session_id} is over; start a new one")
        turn = Turn(id=_new_id("turn"), text=text, source=TurnSource.TEXT)
        await self._send(TextFrame(turn.id, text))
        await self.interrupt()
        if self.is_over:
            raise SessionClosed(f"session {self.session_id} ended before the turn was taken")
        self._turns.commit(turn, spoken_until_ns=None)
        await self._run.durable()
        return turn.id

    # The handler's side.

    async def next_turn(self) -> Turn | None:
        return await self._turns.next()

    def say(self, text: str | None, instructions: str | None = None) -> Utterance:
        if self.is_over:
            raise SessionClosed(f"session {self.session_id} is over; nothing more can be said in it")
        turn = self._turns.current
        utterance = Utterance(_new_id("utt"), text, instructions, turn.id if turn else None)
        self._utterances.add(utterance)
        return utterance

    async def call(self, target: str, arguments: Mapping[str, Any]) -> Any:
        turn = self._turns.current
        return await self._services.executor.execute(
            ExecutionRequest(
                target=target,
                arguments=arguments,
                run_id=self.run_id,
                session_id=self.session_id,
                turn_id=turn.id if turn else None,
            )
        )

    async def interrupt(self) -> None:
        self._utterances.skip_queued(Reason.SUPERSEDED)
        utterance = self._utterances.current
        if utterance is None:
            return
        await self._cut(utterance)
        # The provider says when it has stopped; silence is not waited for without end.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENCE_MAX_S):
                await utterance.wait()
        if utterance.response_id is not None:
            self._utterances.interrupted(utterance, self._conversation.heard_ms(utterance, None))

    async def close(self, reason: CloseReason = CloseReason.NORMAL) -> None:
        """End the session; all callers wait for the same end. The record is sealed last."""
        closing = self._begin_end(reason)
        if asyncio.current_task() not in self._tasks:  # the end waits for each of these
            await asyncio.shield(closing)

    def _begin_end(self, reason: CloseReason) -> asyncio.Task[None]:
        if self._closing is None:
            self._close_reason = reason
            self._closing = asyncio.create_task(self._close(reason), name=f"end {self.session_id}")
        return self._closing

    # Tasks.

    async def _listen(self) -> None:
        """Take what the provider sends until the session ends."""
        while not self.is_over:
            try:
                events = await self._controller.receive(demand=EVENTS_PER_RECEIVE_MAX)
            except ConnectionLost as lost:
                await self._recover(lost)
                continue
            except ProviderError as error:
                if error.reason is Reason.SUPERSEDED:
                    continue
                await self.close(CloseReason.PROVIDER_FAILURE)
                return
            except IllegalCommand:
                if self._controller.state.phase is not Phase.DEGRADED:
                    return  # the session was closed in between
                await self._recover(ConnectionLost("the connection was lost while something was sent"))
                continue
            await self._take(events)

    async def _take(self, events: tuple[ProviderEvent, ...]) -> None:
        for event in events:
            if isinstance(event, CallEnded):
                await self.close(CloseReason.CALLER_GONE)
                return
            self._conversation.handle(event, self._player)
            self._tools.handle(event)
        cut_in = self._conversation.take_cut_in()
        utterance = self._utterances.current
        if utterance is not None and (cut_in or utterance.unwanted):
            await self._cut(utterance)

    async def _recover(self, lost: ConnectionLost) -> None:
        """Where media flows browser ↔ provider, only the browser could make a new connection."""
        if not lost.retryable or self.spec.transport == "webrtc" or self._restarts >= RESTARTS_MAX:
            await self.close(CloseReason.PROVIDER_FAILURE)
            return
        self._restarts += 1
        await self._reconnect(lost.reason)

    async def _reconnect(self, reason: Reason) -> None:
        """What was being said is lost; what the user says meanwhile waits behind the gate."""
        if (utterance := self._utterances.current) is not None:
            self._utterances.failed(utterance, Reason.CONNECTION_LOST)
        self._conversation.connection_lost()
        if self._player is not None:
            await self._player.clear()
        self._abandon_unknown()
        try:
            await self._controller.restart(reason)
        except (IllegalCommand, ProviderError):
            await self.close(CloseReason.PROVIDER_FAILURE)
        self._abandon_unknown()

    async def _close(self, reason: CloseReason) -> None:
        try:
            await self._end(reason)
        finally:  # also when the journal is gone: nobody waits for ever
            self.live.close()
            self._ended.set()

    async def _end(self, reason: CloseReason) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:  # a handler that will not stop does not keep the microphone open
            await asyncio.wait(tasks, timeout=STOP_MAX_S)
        await self._tools.close()
        utterance = self._utterances.current
        self._utterances.end(self._conversation.heard_ms(utterance, self._player) if utterance else 0)
        self._turns.end()
        try:
            await self._controller.close(reason)
        except RealtimeError:
            # The provider could not be told. The session is over all the same, and says so.
            self._controller.fail(Reason.UNAVAILABLE)
        self._abandon_unknown()
        self._record(records.SessionEnded(reason=reason))
        await self._run.durable()

    # Steps.

    async def _speak(self, utterance: Utterance) -> None:
        frame_id = f"say_{utterance.utterance_id.removeprefix('utt_')}"
        frame = SpeechFrame(frame_id, utterance.utterance_id, utterance.text, utterance.instructions)
        self._conversation.set_agent("thinking")
        await self._send(frame)

    async def _send(self, frame: InputFrame) -> None:
        """What may have arrived is not sent again: saying it twice would be worse than not at all."""
        self._abandon_unknown()  # of a frame that waited for a restart nobody else hears
        try:
            await self._controller.send(frame)
        except ProviderError as error:
            if not error.not_done:
                self._abandon_unknown()
            raise

    async def _cut(self, utterance: Utterance) -> None:
        """Stop an utterance; one whose answer has not begun is stopped when it does."""
        utterance.unwanted = True
        response_id = utterance.response_id
        if response_id is None:
            return
        utterance.unwanted = False
        heard_ms = None
        if self._player is not None:
            heard_ms = utterance.heard_ms = self._player.heard_ms(response_id)
            self._player.refuse(response_id)
            await self._player.clear()
        try:
            await self._controller.interrupt(response_id, heard_ms=heard_ms)
        except (IllegalCommand, RepairNeeded, ProviderError):
            # It ended by itself in between, or the provider did not answer: we play nothing more of it.
            log.info("a response of session %s could not be interrupted", self.session_id)
        if heard_ms is not None:
            self._utterances.interrupted(utterance, heard_ms)

    def _abandon_unknown(self) -> None:
        """Doubt about what reached the provider ends here: it is not tried again."""
        for op_id in self._controller.state.unknown:
            self._controller.reconcile(op_id, Decision.ABANDONED)

    def _record(self, record: Record, turn_id: str | None = None) -> None:
        self._run.append([record], Context(session_id=self.session_id, turn_id=turn_id))

    def _keep(self, text: str) -> str:
        return self._services.content.put(text.encode(), subject=self.session_id, retention=Retention.SESSION)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work` for as long as the session lives; if it fails, the session is over."""
        task = asyncio.create_task(work, name=f"{name} {self.session_id}")
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its text may hold what was said: the traceback is for hosts that ask for it.
            in_detail = error if log.isEnabledFor(logging.DEBUG) else None
            log.error("task %s failed: %s", task.get_name(), type(error).__name__, exc_info=in_detail)
            self._begin_end(CloseReason.INTERNAL)


def _new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(8)}"
