"""Drives one session's adapter: ask the core, append, call, append. Knows no wire and no handler.

Every adapter call runs inside `_operate`, which is the only place that gives a call its durable
intent and its one outcome. A commit (decide, append, evolve) never awaits, so it is atomic on the
event loop and can be made while a task is being cancelled.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

from agentfield_journal import JournalError
from agentfield_journal.envelope import Cursor
from agentfield_rt.calls import Calls, Deadlines
from agentfield_rt.core import commands
from agentfield_rt.core.decide import decide, next_op_id, succeeds
from agentfield_rt.core.delivery import deliver
from agentfield_rt.core.evolve import evolve
from agentfield_rt.core.lifecycle import TERMINAL, Phase
from agentfield_rt.core.records import Decision, Record
from agentfield_rt.core.state import State
from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import InputFrame, ProviderEvent
from agentfield_rt.ports import Connection, ConnectRequest, ProviderAdapter, SessionConfig
from agentfield_rt.run import Context, Run

T = TypeVar("T")


class RealtimeSessionController:
    """One session at the provider boundary.

    `send`, `receive`, `interrupt` and `close` may be called at the same time from several tasks:
    sends keep the order of their calls, one receive waits at a time, and neither keeps an interrupt
    or a close waiting. Leaving `async with` closes the session.

    Args:
        adapter: The connection to the provider; the controller owns it from now on.
        run: Where everything is written, before and after it happens.
        session_id: Unique among all sessions of the journal.
    """

    def __init__(
        self,
        adapter: ProviderAdapter,
        run: Run,
        *,
        session_id: str,
        config: SessionConfig | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._adapter = adapter
        self._run = run
        self._context = Context(session_id=session_id)
        self._config = config or SessionConfig()
        self._deadlines = deadlines or Deadlines()
        self._state = State(session_id=session_id)
        self._send_turn = asyncio.Lock()
        self._receive_turn = asyncio.Lock()
        self._calls = Calls()
        self._gated: dict[str, InputFrame] = {}
        self._owed: deque[commands.Command] = deque()
        self._releasing: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def state(self) -> State:
        """The session as its journal tells it."""
        return self._state

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._state.phase is Phase.IDLE:
            return
        try:
            await self.close(CloseReason.CANCEL if kind is not None else CloseReason.NORMAL)
        except ProviderError as refusal:
            self.fail(refusal.reason)  # nobody is left to try again

    async def connect(self, *, offer_sdp: str | None = None) -> Connection:
        """Open the provider connection; with WebRTC, answer the caller's SDP offer.

        Raises:
            IllegalCommand: the session was connected before.
            ProviderError: the provider refused, or nobody knows whether it accepted.
        """
        request = self._connect_request(offer_sdp)
        return await self._operate(
            commands.Connect(),
            lambda _: self._adapter.connect(request),
            lambda op_id, connection: commands.Connected(op_id, connection.connection_id),
            self._deadlines.connect_s,
        )

    async def send(self, frame: InputFrame) -> bool:
        """Hand `frame` to the provider. True: it was sent. False: it waits for a restart to end.

        Raises:
            IllegalCommand: the session is not connected, or closed.
            GateOverflow: too many frames wait; this one was not taken.
            ProviderError: it was not sent, or nobody knows (`not_done`).
        """
        command = commands.Send(frame.frame_id, frame.media, frame.size_bytes)
        async with self._send_turn:
            decided = self._decide(command)
            if self._state.phase is not Phase.OPEN or self._state.gated:
                self._commit(decided)
                self._gated[frame.frame_id] = frame
                self._release_gated()
                return False
            await self._send_now(command, frame, decided)
            return True

    async def receive(self, *, demand: int = 1) -> tuple[ProviderEvent, ...]:
        """Wait for provider events and return at most `demand` of them, in order.

        Events of a response that was interrupted meanwhile are recorded as late and left out, so the
        result may be empty.

        Raises:
            IllegalCommand: the session is not connected.
            ConnectionLost: the provider is gone; the session is degraded and may be restarted.
        """
        async with self._receive_turn:
            delivered: tuple[ProviderEvent, ...] = ()

            def received(op_id: str, events: tuple[ProviderEvent, ...]) -> commands.Received:
                nonlocal delivered
                outcome, delivered = deliver(self._state, op_id, events)
                return outcome

            await self._operate(
                commands.Receive(demand), lambda _: self._adapter.receive(demand=demand), received, None
            )
            return delivered

    async def interrupt(self, response_id: str, *, heard_ms: int | None = None) -> None:
        """Stop a response of which the caller heard `heard_ms` (None: the provider knows better).

        Raises:
            IllegalCommand: the response is not one of this session, or is interrupted already.
            ProviderError: see `ProviderError.not_done`.
        """
        await self._operate(
            commands.Interrupt(response_id, heard_ms),
            lambda _: self._adapter.interrupt(response_id, heard_ms=heard_ms),
            lambda op_id, _: commands.Done(op_id),
            self._deadlines.interrupt_s,
        )

    async def restart(self, reason: Reason, *, offer_sdp: str | None = None) -> Connection:
        """Replace the provider connection. Frames sent meanwhile wait and follow in order afterwards.

        Raises:
            IllegalCommand: there is no connection to replace, or it is being replaced already.
            ProviderError: no new connection; the session is degraded.
        """
        request = self._connect_request(offer_sdp)
        connection = await self._operate(
            commands.Restart(reason),
            lambda op_id: self._replace(op_id, request),
            lambda op_id, connection: commands.Connected(op_id, connection.connection_id),
            self._deadlines.connect_s,
        )
        if (releasing := self._release_gated()) is not None:
            await asyncio.shield(releasing)
        return connection

    async def close(self, reason: CloseReason = CloseReason.NORMAL) -> None:
        """Hang up. All callers wait for the same hang-up; afterwards the session is over.

        Raises:
            ProviderError: the provider could not be told; close may be called again.
        """
        if self._state.phase in TERMINAL:
            return
        if self._closing is None or self._closing.done():
            self._closing = asyncio.create_task(self._close(reason), name=f"close {self._state.session_id}")
            self._closing.add_done_callback(_observe)
        await asyncio.shield(self._closing)

    def fail(self, reason: Reason) -> None:
        """End the session without asking the provider. Every open operation gets its outcome."""
        self._commit(self._decide(commands.Fail(reason)))
        self._gated.clear()
        self._calls.supersede()

    def reconcile(self, op_id: str, decision: Decision) -> None:
        """Say what became of an operation whose outcome is unknown.

        Raises:
            IllegalCommand: its outcome is not unknown.
        """
        self._commit(self._decide(commands.Reconcile(op_id, decision)))
        self._release_gated()

    async def durable(self) -> None:
        """Return once everything recorded so far is on stable storage."""
        await self._run.durable()

    # One operation: intent, call, outcome.

    async def _operate(
        self,
        command: commands.Command,
        call: Callable[[str], Awaitable[T]],
        succeed: Callable[[str, T], commands.Command],
        deadline_s: float | None,
        *,
        intent: tuple[Record, ...] | None = None,
    ) -> T:
        op_id = next_op_id(self._state)
        cursor = self._commit(intent or self._decide(command))
        generation = self._state.generation
        under_way = self._calls.begin(op_id)
        called = False
        try:
            async with under_way.deadline:
                await self._run.durable(cursor)
                under_way.allow(deadline_s)
                called = True
                result = await call(op_id)
            decided = decide(self._state, succeed(op_id, result))
            self._commit(decided)
            if not succeeds(op_id, decided):
                raise ProviderError(f"{op_id} was given up", reason=Reason.SUPERSEDED, not_done=False)
            return result
        except TimeoutError as error:
            reason = Reason.SUPERSEDED if under_way.superseded else Reason.TIMEOUT
            self._settle(op_id, reason, unknown=called)
            raise ProviderError(
                f"{op_id} did not finish in time: {reason}", reason=reason, not_done=not called
            ) from error
        except asyncio.CancelledError:
            self._settle(op_id, Reason.CANCELLED, unknown=called)
            raise
        except ProviderError as error:
            self._settle(op_id, error.reason, unknown=not error.not_done)
            # The loss of a connection that has been replaced since is no news.
            if isinstance(error, ConnectionLost) and generation == self._state.generation:
                self._commit(decide(self._state, commands.LoseConnection(error.reason)))
            raise
        except JournalError:
            with contextlib.suppress(JournalError):  # it may only have been slow, or full for a moment
                self._settle(op_id, Reason.UNAVAILABLE, unknown=called)
            raise
        except Exception:
            self._settle(op_id, Reason.INTERNAL, unknown=called)
            raise
        finally:
            self._calls.end(op_id)

    def _commit(self, decided: tuple[Record, ...]) -> Cursor:
        """Append and fold. Never awaits: nothing can happen in between."""
        if not decided:
            return self._run.head
        cursor = self._run.append(decided, self._context)
        state = self._state
        for record in decided:
            state = evolve(state, record)
        self._state = state
        return cursor

    def _decide(self, command: commands.Command) -> tuple[Record, ...]:
        """What `command` leads to, once the journal has the outcomes it could not take before."""
        while self._owed:
            self._commit(decide(self._state, self._owed[0]))
            self._owed.popleft()
        return decide(self._state, command)

    def _settle(self, op_id: str, reason: Reason, *, unknown: bool) -> None:
        outcome = commands.Unknown(op_id, reason) if unknown else commands.NotDone(op_id, reason)
        try:
            self._commit(decide(self._state, outcome))
        except JournalError:
            self._owed.append(outcome)
            raise

    # The steps of single commands.

    def _connect_request(self, offer_sdp: str | None) -> ConnectRequest:
        return ConnectRequest(session_id=self._state.session_id, config=self._config, offer_sdp=offer_sdp)

    async def _send_now(
        self,
        command: commands.Send | commands.Release,
        frame: InputFrame,
        intent: tuple[Record, ...] | None = None,
    ) -> None:
        await self._operate(
            command,
            lambda _: self._hand_over(frame),
            lambda op_id, _: commands.Done(op_id),
            self._deadlines.send_s,
            intent=intent,
        )

    async def _hand_over(self, frame: InputFrame) -> None:
        """The connection may have been given up while the intent was on its way to the disk."""
        if self._state.phase is not Phase.OPEN:
            raise ProviderError("the connection was given up first", reason=Reason.SUPERSEDED, retryable=True)
        await self._adapter.send(frame)

    async def _replace(self, op_id: str, request: ConnectRequest) -> Connection:
        """What the old connection was busy with cannot succeed any more; do not wait for it."""
        self._calls.supersede(but=op_id)
        return await self._adapter.restart(request)

    def _release_gated(self) -> asyncio.Task[None] | None:
        """Let the frames that wait follow, if they may; that goes on whoever stops waiting for it."""
        if not self._may_release():
            return None
        if self._releasing is None or self._releasing.done():
            name = f"release {self._state.session_id}"
            self._releasing = asyncio.create_task(self._send_gated(), name=name)
            self._releasing.add_done_callback(_observe)
        return self._releasing

    def _may_release(self) -> bool:
        state = self._state
        return bool(state.gated) and state.phase is Phase.OPEN and not state.needs_repair

    async def _send_gated(self) -> None:
        """Oldest first, one at a time. A frame that fails has had its fate; the next one follows."""
        async with self._send_turn:
            while self._may_release():
                frame_id = self._state.gated[0].frame_id
                with contextlib.suppress(ProviderError):
                    await self._send_now(commands.Release(), self._gated[frame_id])
                self._gated.pop(frame_id, None)

    async def _close(self, reason: CloseReason) -> None:
        if self._state.phase is Phase.CONNECTING:
            await self._end_calls()
        if self._state.phase is not Phase.IDLE and self._state.phase not in TERMINAL:
            await self._operate(
                commands.Close(reason),
                lambda op_id: self._hang_up(op_id, reason),
                lambda op_id, _: commands.Done(op_id),
                self._deadlines.close_s,
            )
        self._gated.clear()
        if self._releasing is not None:
            await asyncio.wait([self._releasing])
        await self._run.durable()

    async def _hang_up(self, op_id: str, reason: CloseReason) -> None:
        await self._end_calls(but=op_id)
        await self._adapter.close(reason)

    async def _end_calls(self, *, but: str | None = None) -> None:
        """Calls that are under way settle first, so that nothing is recorded after the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._deadlines.settle_s):
                for call in self._calls.supersede(but=but):
                    await call.settled.wait()
        for op_id in [op_id for op_id in self._state.open_operations if op_id != but]:
            self._settle(op_id, Reason.SUPERSEDED, unknown=True)


def _observe(task: asyncio.Task[None]) -> None:
    """The callers who wait hear of an error; when none does any more, the journal has it."""
    if not task.cancelled():
        task.exception()
