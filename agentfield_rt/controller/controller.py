"""Drives one session's adapter: what a host asks, step by step. Knows no wire and no handler."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from agentfield_journal import JournalError
from agentfield_rt.controller.backoff import Backoff
from agentfield_rt.controller.calls import Call, Deadlines, observe
from agentfield_rt.controller.connecting import Connecting
from agentfield_rt.controller.incoming import Incoming
from agentfield_rt.controller.operations import Operations
from agentfield_rt.controller.outgoing import Outgoing
from agentfield_rt.controller.tap import MediaTap
from agentfield_rt.controller.window import Windows
from agentfield_rt.core import commands
from agentfield_rt.core.lifecycle import TERMINAL, Phase
from agentfield_rt.core.records import Decision, Limits
from agentfield_rt.core.records.realtime import DEFAULT_LIMITS
from agentfield_rt.core.state import OpenOperation, State
from agentfield_rt.errors import CloseReason, IllegalCommand, ProviderError, Reason, UnsupportedTransport
from agentfield_rt.frames import InputFrame, ProviderEvent
from agentfield_rt.items import History
from agentfield_rt.ports import Connection, ConnectRequest, PhoneAdapter, ProviderAdapter, SessionConfig
from agentfield_rt.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundarySettings:
    """How a session treats its provider."""

    deadlines: Deadlines = field(default_factory=Deadlines)
    windows: Windows = field(default_factory=Windows)
    limits: Limits = DEFAULT_LIMITS
    backoff: Callable[[], Backoff] = Backoff


class RealtimeSessionController:
    """One session at the provider boundary.

    `send`, `receive`, `interrupt` and `close` may be called at the same time from several tasks:
    sends of audio keep the order of their calls, and so do all other sends; one receive waits at a
    time, and neither keeps an interrupt or a close waiting. Leaving `async with` closes the session.

    Args:
        adapter: The connection to the provider; the controller owns it from now on.
        run: Where everything is written, before and after it happens.
        session_id: Unique among all sessions of the journal.

    Attributes:
        run: Where it is written; approvals and deliveries of the session are written there too.
    """

    def __init__(
        self,
        adapter: ProviderAdapter,
        run: Run,
        *,
        session_id: str,
        config: SessionConfig | None = None,
        settings: BoundarySettings | None = None,
    ) -> None:
        settings = settings or BoundarySettings()
        self._adapter = adapter
        self._config = config or SessionConfig()
        self._limits = settings.limits
        self._backoff = settings.backoff()
        self.run = run
        self._operations = Operations(run, State(session_id=session_id), settings.deadlines)
        self._outgoing = Outgoing(adapter, self._operations, settings.windows)
        self._incoming = Incoming(adapter, self._operations, settings.windows)
        self._connecting = Connecting(
            adapter,
            self._operations,
            self._backoff,
            release=self._outgoing.release,
            reconcile=self.reconcile,
        )
        self._closing: asyncio.Task[None] | None = None
        self._is_over = False
        self._was_hung_up = False
        self._emergency: CloseReason | None = None

    @classmethod
    def resume(
        cls,
        adapter: ProviderAdapter,
        run: Run,
        state: State,
        *,
        config: SessionConfig | None = None,
        settings: BoundarySettings | None = None,
    ) -> Self:
        """Go on where another process stopped: `state` is the fold of its journal (`open_session`)."""
        controller = cls(adapter, run, session_id=state.session_id, config=config, settings=settings)
        controller._operations.state = state
        return controller

    @property
    def state(self) -> State:
        """The session as its journal tells it; audio that flows counts once its window is recorded."""
        return self._operations.state

    @property
    def sent_total(self) -> int:
        """Frames the provider took, those that are not recorded yet included."""
        return self._outgoing.sent_total

    @property
    def received_total(self) -> int:
        """Events delivered, those that are not recorded yet included."""
        return self._incoming.received_total

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.close(CloseReason.CANCEL if kind is not None else CloseReason.NORMAL)
        except JournalError:
            raise
        except ProviderError as refusal:
            self.fail(refusal.reason)  # nobody is left to try again
        except Exception:
            self.fail(Reason.INTERNAL)
            raise

    async def connect(
        self, *, offer_sdp: str | None = None, incoming_call_id: str | None = None
    ) -> Connection:
        """Open the provider connection; with WebRTC, answer the caller's SDP offer or the phone that rings.

        Raises:
            IllegalCommand: the session was connected or closed before, or the run has another of its id.
            ProviderError: the provider refused, or nobody knows whether it accepted.
        """
        session_id = self.state.session_id
        if self._is_over:  # closed before it had a record that could say so
            raise IllegalCommand(f"session {session_id} was closed; a new call is a new session")
        if not self.state.operations_total and self.run.has_connected(session_id):
            raise IllegalCommand(f"run {self.run.run_id} has had a session {session_id}; its id is used once")
        request = self._connect_request(offer_sdp, incoming_call_id)
        return await self._connecting.connect(request, self._limits)

    def send(self, frame: InputFrame) -> Coroutine[Any, Any, bool]:
        """Hand `frame` to the provider. True: it was sent. False: it waits for a restart to end.

        Audio flows in windows (`Windows`): once one is open, a frame waits for no disk.

        Raises:
            IllegalCommand: the session is not connected, or closed.
            GateOverflow: too many frames wait; this one was not taken.
            ProviderError: it was not sent, or nobody knows (`not_done`).
        """
        return self._outgoing.send(frame)

    def receive(self, *, demand: int = 1) -> Coroutine[Any, Any, tuple[ProviderEvent, ...]]:
        """Wait for provider events and return at most `demand` of them, in order.

        Events of a response that was interrupted meanwhile are recorded as late and left out, so the
        result may be empty.

        Raises:
            IllegalCommand: the session is not connected, or `demand` is less than one.
            ConnectionLost: the provider is gone; the session is degraded and may be restarted.
        """
        return self._incoming.receive(demand)

    async def interrupt(self, response_id: str, *, heard_ms: int | None = None) -> None:
        """Stop a response of which the caller heard `heard_ms` (None: the provider knows better).

        Raises:
            IllegalCommand: the response is not one of this session, or is interrupted already.
            ProviderError: see `ProviderError.not_done`.
        """
        self._incoming.cut()
        await self._operations.operate(
            commands.Interrupt(response_id, heard_ms),
            lambda _: self._adapter.interrupt(response_id, heard_ms=heard_ms),
            lambda op_id, _: commands.Done(op_id),
            deadline_s=self._operations.deadlines.interrupt_s,
        )

    async def refer(self, target_uri: str, *, target_ref: str) -> None:
        """Hand the caller's phone call on to `target_uri`, which the journal knows as `target_ref`.

        Raises:
            UnsupportedTransport: this session's adapter has no phone calls. Nothing is journaled.
            IllegalCommand: the session is not connected, or the call is being handed on already.
            ProviderError: it was not handed on, or nobody knows (`not_done`).
        """
        adapter = self._adapter
        if not isinstance(adapter, PhoneAdapter):
            raise UnsupportedTransport(
                "only a phone call, over openai/webrtc or local/webrtc, can be handed on"
            )
        await self._operations.operate(
            commands.Refer(target_ref),
            lambda _: adapter.refer(target_uri),
            lambda op_id, _: commands.Done(op_id),
            deadline_s=self._operations.deadlines.refer_s,
        )

    async def restart(
        self, reason: Reason, *, offer_sdp: str | None = None, history: Callable[[], History] | None = None
    ) -> Connection:
        """Replace the provider connection. Frames sent meanwhile wait and follow in order afterwards.

        Args:
            history: Asked for what was said until the old connection is given up; the new one is told it.

        Raises:
            IllegalCommand: there is no connection to replace, or it is being replaced already.
            RestartBudgetSpent: it was replaced as often as `Limits.restarts_max` allows.
            ProviderError: no new connection; the session is degraded.
        """
        return await self._connecting.restart(self._connect_request(offer_sdp), reason, history)

    def proved(self) -> None:
        """The caller heard an answer over this connection: once lost, it is replaced without delay."""
        self._backoff.proved()

    async def reconnect(
        self, reason: Reason, *, offer_sdp: str | None = None, history: Callable[[], History] | None = None
    ) -> Connection:
        """Restart with back-off until there is a connection, or nothing more may be tried.

        A restart whose outcome is unknown is given up: the next one replaces whatever it left.

        Args:
            history: As for `restart`; asked for at every try.

        Raises:
            RestartBudgetSpent: there is no connection, and there will be none.
            ProviderError: the provider refuses for good (`retryable` is false), or for too long.
            IllegalCommand: the session was closed meanwhile.
        """
        return await self._connecting.reconnect(self._connect_request(offer_sdp), reason, history)

    async def close(self, reason: CloseReason = CloseReason.NORMAL) -> None:
        """Hang up. All callers wait for the same hang-up; afterwards the session is over.

        With `CloseReason.DETACH` the provider call is left to the host. Where the journal takes no
        records the provider is hung up on all the same, and that is recorded first when it does.

        Raises:
            ProviderError: the provider could not be told; close may be called again.
            JournalError: it was hung up on, or it was not (`state`), but the journal does not say so yet.
        """
        self._is_over = True
        if self.state.phase in TERMINAL:
            return
        if self._closing is None or self._closing.done():
            self._closing = asyncio.create_task(self._close(reason), name=f"close {self.state.session_id}")
            self._closing.add_done_callback(observe)
        await asyncio.shield(self._closing)

    async def detach(self) -> None:
        """Leave the provider call to the host; see `close`."""
        await self.close(CloseReason.DETACH)

    def fail(self, reason: Reason) -> None:
        """End the session without asking the provider. Every open operation gets its outcome."""
        if self._emergency is not None:  # it is being hung up on, and a session that is over says no more
            self._operations.owe(commands.EmergencyClosed(self._emergency, told=False))
        self._operations.cut_windows()
        self._give_up_windows(reason)
        self._operations.commit(self._operations.decide(commands.Fail(reason)))
        self._outgoing.clear()
        self._operations.calls.supersede()

    def reconcile(self, op_id: str, decision: Decision) -> None:
        """Say what became of an operation whose outcome is unknown.

        Raises:
            IllegalCommand: its outcome is not unknown.
        """
        self._operations.commit(self._operations.decide(commands.Reconcile(op_id, decision)))
        self._outgoing.release()

    def recover(self, reconcile: Callable[[OpenOperation], Decision]) -> None:
        """Close what the process that held the connection had open, and settle all doubt."""
        self._operations.commit(self._operations.decide(commands.Recover()))
        for op_id, operation in self.state.unknown.items():
            self.reconcile(op_id, reconcile(operation))

    def watch(self, tap: MediaTap) -> None:
        """Let `tap` know of the audio that windows count, from now on."""
        self._operations.tap = tap

    async def durable(self) -> None:
        """Return once everything recorded so far is on stable storage."""
        await self._operations.durable()

    # The steps of single commands.

    def _connect_request(self, offer_sdp: str | None, incoming_call_id: str | None = None) -> ConnectRequest:
        return ConnectRequest(
            session_id=self.state.session_id,
            config=self._config,
            offer_sdp=offer_sdp,
            incoming_call_id=incoming_call_id,
        )

    async def _close(self, reason: CloseReason) -> None:
        try:
            self._operations.pay()
            if self.state.phase is Phase.CONNECTING:
                await self._end_calls()
            if self.state.phase is not Phase.IDLE and self.state.phase not in TERMINAL:
                self._operations.cut_windows()
                await self._operations.operate(
                    commands.Close(reason),
                    lambda call: self._hang_up(call, reason),
                    lambda op_id, _: commands.Done(op_id),
                    deadline_s=self._operations.deadlines.close_s,
                )
        except JournalError:
            await self._close_in_an_emergency(reason)
            raise
        finally:
            if self.state.phase in TERMINAL:
                self._outgoing.clear()
        await self._outgoing.idle()
        await self._operations.durable()

    async def _hang_up(self, call: Call, reason: CloseReason) -> None:
        await self._end_calls(but=call)
        await self._adapter.close(reason)
        self._was_hung_up = True

    async def _end_calls(self, *, but: Call | None = None) -> None:
        """Calls that are under way settle first, so that nothing is recorded after the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._operations.deadlines.settle_s):
                for call in self._operations.calls.supersede(but=but):
                    await call.settled.wait()
        self._give_up_windows(Reason.SUPERSEDED)
        but_op_id = None if but is None else but.op_id
        for op_id in [op_id for op_id in self.state.open_operations if op_id != but_op_id]:
            self._operations.settle(op_id, Reason.SUPERSEDED, unknown=True)

    def _give_up_windows(self, reason: Reason) -> None:
        self._outgoing.give_up(reason)
        self._incoming.give_up()

    async def _close_in_an_emergency(self, reason: CloseReason) -> None:
        """An open microphone is worse than an effect without an intent; the record is owed."""
        if self._operations.is_abandoned:
            return
        self._operations.is_abandoned = True
        if not self._was_hung_up:
            self._emergency = reason
            with contextlib.suppress(ProviderError, TimeoutError):
                async with asyncio.timeout(self._operations.deadlines.close_s):
                    await self._adapter.close(reason)
                    self._was_hung_up = True
            self._emergency = None
        self._operations.calls.supersede()
        self._operations.owe(commands.EmergencyClosed(reason, told=self._was_hung_up))
        self._outgoing.clear()
