"""A voice session: listens to the provider, hands turns to the handler, speaks for it, ends once.

Knows no HTTP and no wire format. The controller owns the provider boundary; this owns the
conversation on top of it and every task that runs for it.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from agentfield_journal import JournalUnavailable
from agentfield_rt.approvals import Approvals
from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core import records
from agentfield_rt.core.delivery import is_audio
from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.core.records import TurnSource
from agentfield_rt.deliveries import Deliveries
from agentfield_rt.errors import (
    CloseReason,
    ConnectionLost,
    IllegalCommand,
    ProviderError,
    Reason,
    SessionClosed,
)
from agentfield_rt.frames import AudioFrame, CallEnded, InputFrame, ProviderEvent, TextFrame, ToolResultFrame
from agentfield_rt.items import History
from agentfield_rt.ports import Connection
from agentfield_rt.run import Run
from agentfield_rt.voice.caller_faults import CallerFaults
from agentfield_rt.voice.conversation import Conversation
from agentfield_rt.voice.digits import Digits
from agentfield_rt.voice.ending import Ending, closes_as
from agentfield_rt.voice.handling import run_handler
from agentfield_rt.voice.inputs import Inputs
from agentfield_rt.voice.interventions import Reach
from agentfield_rt.voice.link import ExecutionRequest, Handler, Turn
from agentfield_rt.voice.live import LiveFeed
from agentfield_rt.voice.meter import Meter
from agentfield_rt.voice.model import ModelHandler
from agentfield_rt.voice.phone import PhoneCall
from agentfield_rt.voice.player import Caller, Player
from agentfield_rt.voice.recall import Recall
from agentfield_rt.voice.reconnecting import Reconnecting
from agentfield_rt.voice.recorded import recording_for
from agentfield_rt.voice.recorder import Recorder
from agentfield_rt.voice.rollover import RollOver
from agentfield_rt.voice.rules import SessionRules
from agentfield_rt.voice.speaking import new_turn_id
from agentfield_rt.voice.spec import SessionServices, SessionSpec
from agentfield_rt.voice.stopping import Stopping
from agentfield_rt.voice.tools import ToolCalls, ToolGate
from agentfield_rt.voice.turns import Turns
from agentfield_rt.voice.utterance import Utterance
from agentfield_rt.voice.utterances import Utterances

log = logging.getLogger(__name__)

EVENTS_PER_RECEIVE_MAX = 64


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
        recorder = Recorder(run, spec.session_id, services.content)
        self._record, self._keep, self._spoken = recorder.record, recorder.keep, recorder.spoken
        self._controller = controller
        self._services = services
        self._handler = handler
        self._turns = Turns(self._record, self._keep, answer_within_s=spec.answer_within_s)
        self.give_back_turn = self._turns.give_back
        self._utterances = Utterances(
            self._speak, self._cut, self._record, self._keep, outlives_connections=spec.provider_plays
        )
        self.digits = Digits(self._record, self._keep)
        self.caller_faults = CallerFaults(self._record)
        self.approvals = Approvals(run, services.content, session_id=spec.session_id, history=spec.history)
        self.deliveries = Deliveries(run, services.content, session_id=spec.session_id, history=spec.history)
        self._recording = recording_for(spec, services, controller, record=self._record)
        self._ending = Ending(
            controller, self._record, self._end_conversation, self._recording.close, ended=self.live.close
        )
        self._tasks = self._ending.tasks
        self.phone = PhoneCall(controller, self.digits, self._record, keep=self._keep, is_phone=spec.rings)
        reach = Reach(
            self.approvals,
            self.live,
            self._utterances,
            self._turns,
            interrupt=self.interrupt,
            send=self._send,
            failed=lambda: self._ending.begin(CloseReason.INTERNAL),
        )
        self.rules = SessionRules(spec, run, reach, deliver=self._deliver, keep=self._keep)
        gate = ToolGate(spec.tools, spec.approvals, self.approvals)
        self._tools = ToolCalls(gate, self.rules.answer_tool, self._run_tool, self._record, self._keep)
        self._player: Player | None = None
        self._conversation = Conversation(
            self._turns, self._utterances, live=self.live, clock=services.clock, spec=spec
        )
        user = self._conversation.user
        self.inputs = Inputs(recorder, self._send, controller, user=user, is_over=lambda: self.is_over)
        self.meter = Meter(self._record, spec.history)
        self.recall = Recall(self._record, self._keep, self._spoken)
        if handler is None and spec.config.create_response:
            self._handler = ModelHandler(
                self._turns, self._conversation, self._tools, spoken=self._spoken,
                instructions=spec.config.instructions,
            )  # fmt: skip
        self._rollover = RollOver(
            self._conversation, controller, self.live, recover=self._recover, spawn=self._tasks.spawn
        )
        self._stopping = Stopping(controller, self._conversation, self._utterances)
        self._reconnecting = Reconnecting(
            controller, self._conversation, self._utterances, ending=self._ending, history=self._history
        )

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
        return self._ending.reason

    @property
    def is_over(self) -> bool:
        return self._ending.has_begun

    @property
    def has_ended(self) -> bool:
        """Whether it is over and all of it is recorded."""
        return self._ending.is_over.is_set()

    async def ended(self) -> None:
        """Return once the session is over and all of it is recorded."""
        await self._ending.is_over.wait()

    def start(self) -> None:
        """Write down that this session exists and what it may do."""
        self.rules.register(self.spec.record())

    async def go_on(self, *, caller: Caller | None = None) -> None:
        """Go on where a process died, in place of `start` and `connect`.

        Needs `open_session`'s controller, and in `spec.history` the records by then. The handler begins anew.

        Raises:
            SessionClosed, RefusedRule: it was never connected or is closed; a rule cannot be held.
        """
        if self._controller.state.phase is not Phase.OPEN:
            raise SessionClosed(f"session {self.session_id} is {self.phase}; only an open one goes on")
        await self.recall.go_on(self.spec.history, self._services.content)
        await self.rules.go_on(self.spec.history, self._services.content)
        await self.approvals.recover()
        await self.deliveries.recover()
        await self._begin(caller)

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
        self._require_live("is over; start a new one")
        try:
            incoming = self.spec.incoming_call_id
            connection = await self._controller.connect(offer_sdp=offer_sdp, incoming_call_id=incoming)
        except IllegalCommand:
            raise
        except BaseException:
            if self._controller.state.phase is Phase.DEGRADED:
                self._ending.begin(CloseReason.PROVIDER_FAILURE)  # there may be a connection nobody holds
            raise
        self._require_live("ended while it was connected")  # what is begun now nobody would end
        await self._begin(caller)
        return connection

    async def _begin(self, caller: Caller | None) -> None:
        caller, report = self._recording.begin(caller, self._conversation.handle)
        if caller is not None:
            self._player = self._stopping.player = Player(caller, report, self._tasks.spawn)
        self._tasks.spawn(self._listen(), "listen")
        self._utterances.begin(self._tasks.spawn)
        if self._handler is not None:
            running = run_handler(self._handler, self, turns=self._turns, apology=self.spec.apology)
            self._tasks.spawn(running, "handler")
        await self._run.durable()  # the caller is told of a connection that no crash can undo

    async def hear_audio(self, pcm: bytes) -> None:
        """Pass on user audio: mono int16 PCM at 24 kHz.

        Raises:
            IllegalCommand, GateOverflow, ProviderError: see `RealtimeSessionController.send`.
        """
        frame = AudioFrame(f"frm_{secrets.token_hex(8)}", pcm)
        self._recording.spoke(frame)
        await self._send(frame)

    async def hear_text(self, text: str) -> str:
        """The user typed a turn; returns its id once the turn is durable.

        Raises:
            SessionClosed: the session is over.
            TooManyTurns: as many wait for the handler as may.
            IllegalCommand: it is not connected yet.
            ProviderError: the provider did not take it.
        """
        self._require_live("is over; start a new one")
        turn_id = new_turn_id()
        with self._turns.place():
            turn = Turn(turn_id, await self.rules.typed(turn_id, text), source=TurnSource.TEXT)
            await self._send(TextFrame(turn.id, turn.text))
            self._require_live("ended before the turn was taken")
            # The provider has it: a connection that is replaced from here on is told of it.
            self._conversation.typed(turn)
        try:
            await self.interrupt()
        finally:
            self._turns.hand_out(turn)
        self._require_live("ended before the turn was taken")
        await self._run.durable()
        return turn.id

    def _require_live(self, otherwise: str) -> None:
        if self.is_over:
            raise SessionClosed(f"session {self.session_id} {otherwise}")

    # The handler's side.

    async def next_turn(self) -> Turn | None:
        return await self._turns.next()

    def say(self, text: str | None, instructions: str | None = None) -> Utterance:
        self._require_live("is over; nothing more can be said in it")
        utterance = Utterance(f"utt_{secrets.token_hex(8)}", text, instructions, self._turns.answer())
        self._utterances.add(utterance)
        return utterance

    async def call(self, target: str, arguments: Mapping[str, Any]) -> Any:
        return await self._execute(target, arguments, self._turns.current_id)

    async def _run_tool(self, target: str, arguments: Mapping[str, Any], response_id: str) -> Any:
        await self._run.durable()  # its intent: what it does, a crash must not make unannounced
        turn_id = self._utterances.answers.turn_of(response_id) or self._turns.current_id
        return await self._execute(target, arguments, turn_id)

    async def _execute(self, target: str, arguments: Mapping[str, Any], turn_id: str | None) -> Any:
        ids = {"run_id": self.run_id, "session_id": self.session_id, "turn_id": turn_id}
        request = ExecutionRequest(target=target, arguments=arguments, **ids)
        return await self._services.executor.execute(request)

    async def interrupt(self) -> None:
        await self._stopping.interrupt()

    async def close(self, reason: CloseReason = CloseReason.NORMAL) -> None:
        """End the session; all callers wait for the same end. The record is sealed last.

        Raises:
            JournalError: the provider was hung up on, but the end is not recorded; asked again, what is
                missing is written.
        """
        closing = self._ending.begin(reason)
        if asyncio.current_task() not in self._tasks:  # the end waits for each of these
            await asyncio.shield(closing)
        elif reason is CloseReason.NORMAL:
            self._turns.answer()  # the handler hung up

    # Tasks.

    async def _listen(self) -> None:
        """Take what the provider sends until the session ends."""
        while not self.is_over:
            try:
                events = await self._controller.receive(demand=EVENTS_PER_RECEIVE_MAX)
            except ConnectionLost as lost:
                await self._recover(lost)
            except ProviderError as error:
                if error.reason is not Reason.SUPERSEDED:
                    await self.close(CloseReason.PROVIDER_FAILURE)
            except IllegalCommand:
                if self._controller.state.phase is not Phase.DEGRADED:
                    return  # the session was closed in between
                await self._recover(ConnectionLost("the connection was lost while something was sent"))
            else:
                await self._take(events)

    async def _take(self, events: tuple[ProviderEvent, ...]) -> None:
        for event in events:
            if isinstance(event, CallEnded):
                await self.close(CloseReason.CALLER_GONE)
                return
            self.rules.take(event)
        cut_in = self._conversation.take_cut_in()
        if (utterance := self._utterances.current) is not None and (cut_in or utterance.unwanted):
            await self._stopping.cut(utterance)
        if cut_in:
            await self._stopping.cut_answer()
        if self._player is not None:
            self._player.go_on()
        for response_id in self._conversation.take_unwanted():
            await self._stopping.stop(response_id, None if self._player is None else 0)

    def _deliver(self, event: ProviderEvent) -> None:
        self._conversation.handle(event, self._player)
        if is_audio(event):
            return  # most events are, and nobody else wants them
        self._tools.handle(event)
        self.phone.handle(event)
        self.meter.handle(event)
        if self.spec.carries_audio:  # only a browser could replace its own call
            self._rollover.handle(event)

    async def _recover(self, lost: ConnectionLost) -> None:
        """Where media flows caller ↔ provider, the call itself may still go on: then it is joined again."""
        if not lost.retryable or not await self._reconnecting.reconnect(lost.reason, self._player):
            await self.close(closes_as(lost))

    def _history(self) -> History:
        return self._spoken.history(
            pending=self._tools.pending, answers_turns=self.spec.config.create_response
        )

    async def _end_conversation(self) -> None:
        """Each part ends, also when the journal takes nothing of another; the last error is raised."""
        async with contextlib.AsyncExitStack() as parts:  # the last one first
            parts.callback(self._require_all_closed)
            parts.callback(self._turns.end)
            parts.callback(self._conversation.end_speech, self._player)
            for part in (self.deliveries, self.approvals, self._tools, self.rules, self.digits):
                parts.push_async_callback(part.close)

    def _require_all_closed(self) -> None:
        if self.approvals.state.pending or self.deliveries.ledger.open:
            raise JournalUnavailable(f"the journal took not all of the end of session {self.session_id}")

    async def _cut(self, utterance: Utterance) -> None:
        await self._stopping.cut(utterance)

    async def _speak(self, utterance: Utterance) -> None:
        self._conversation.set_agent("thinking")
        await self._send(utterance.frame)

    async def _send(self, frame: InputFrame) -> None:
        """What may have arrived is not sent again: saying it twice would be worse than not at all."""
        self._ending.abandon_unknown()  # of a frame that waited for a restart nobody else hears
        if isinstance(frame, ToolResultFrame):
            output_ref = self._keep(frame.output)
            self._record(records.ToolCallAnswered(call_id=frame.call_id, output_ref=output_ref))
        try:
            await self._controller.send(frame)
        except (ProviderError, asyncio.CancelledError) as error:
            if not (isinstance(error, ProviderError) and error.not_done):
                self._ending.abandon_unknown()
            raise
