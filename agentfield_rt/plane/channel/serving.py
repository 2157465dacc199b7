"""Makes a handler's requests of its session: what a function in this process would call, message by message.

Knows no instance and no wire: `post` reaches whoever runs the handler.
"""

import asyncio
from collections.abc import Callable
from typing import Any, assert_never

import msgspec

from agentfield_rt.channel.failures import failure_of
from agentfield_rt.channel.frame import MessageTooLarge
from agentfield_rt.channel.message import Message
from agentfield_rt.channel.shapes import Failure, Fault, GivenTurn, SpokenLine
from agentfield_rt.channel.to_agent import MeterRead, Reply, TurnGiven, UtteranceChanged
from agentfield_rt.channel.to_plane import (
    Call,
    CancelRequest,
    Deliver,
    GatherDigits,
    History,
    Input,
    Interrupt,
    Reconcile,
    Refer,
    Say,
)
from agentfield_rt.deliveries import DeliveryOutcome
from agentfield_rt.errors import Reason, SessionClosed
from agentfield_rt.frames import RateLimit, Usage
from agentfield_rt.plane.channel.parcels import Parcels
from agentfield_rt.sinks import Destination, Output
from agentfield_rt.voice.digits import GatheredDigits
from agentfield_rt.voice.link import FINAL_STATES, SessionLink, UtteranceState, UtteranceTicket

REQUESTS_MAX = 256
"""Of one handler, at once."""

Request = Call | Input | Interrupt | GatherDigits | History | Refer | Deliver | Reconcile

Post = Callable[[Message], None]


class Serving:
    """One run of a handler, as its session sees it."""

    def __init__(self, handler_id: str, link: SessionLink, post: Post, *, parcels: Parcels) -> None:
        self._handler_id = handler_id
        self._link = link
        self._post = post
        self._parcels = parcels
        self._requests: dict[str, asyncio.Task[None]] = {}
        self._given: str | None = None
        self._meter: tuple[Usage, tuple[RateLimit, ...]] = (Usage(), ())
        self._is_over = False

    def open(self) -> None:
        """The handler has begun: it is told what the session costs, now and whenever that changes."""
        self._link.meter.watch(self._tell_meter)
        self._tell_meter()

    async def close(self) -> None:
        """Whoever ran it is gone, or its session: nothing more is asked or told."""
        self._is_over = True
        self._link.meter.watch(None)
        tasks = tuple(self._requests.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def say(self, message: Say) -> None:
        """Queue speech; what becomes of it is told as it happens."""
        try:
            ticket = self._link.say(message.text, message.instructions)
        except Exception as error:  # the handler goes on, as it does where speech fails later
            state = UtteranceState.SKIPPED if isinstance(error, SessionClosed) else UtteranceState.FAILED
            self._tell_utterance(message.utterance_id, state, reason=Reason.UNAVAILABLE)
            return
        watch = _Watch(ticket, lambda: self._tell(message.utterance_id, ticket))
        ticket.watch(watch)
        if ticket.state is not UtteranceState.PLANNED:
            watch()

    def _tell(self, utterance_id: str, ticket: UtteranceTicket) -> None:
        heard = ticket.heard if ticket.state in FINAL_STATES else ""
        self._tell_utterance(utterance_id, ticket.state, heard=heard, reason=ticket.reason)

    def _tell_utterance(
        self, utterance_id: str, state: UtteranceState, *, heard: str = "", reason: Reason | None = None
    ) -> None:
        if self._is_over:
            return
        self._post(
            UtteranceChanged(
                handler_id=self._handler_id,
                utterance_id=utterance_id,
                state=state,
                heard=heard,
                reason=reason,
            )
        )

    def _tell_meter(self) -> None:
        meter = self._link.meter
        if (now := (meter.usage, meter.rate_limits)) != self._meter:
            self._meter = now
            self._post(MeterRead(handler_id=self._handler_id, usage=now[0], rate_limits=now[1]))

    def cancel(self, message: CancelRequest) -> None:
        """Nobody waits for a request any more. A turn that is on its way there comes back."""
        task = self._requests.get(message.request_id)
        is_answered = task is None or not task.cancel()
        if is_answered and message.request_id == self._given:
            self._given = None
            self._link.give_back_turn()

    def ask(self, message: Request) -> None:
        """Begin a request; its answer is posted."""
        request_id = message.request_id
        if request_id in self._requests:
            return  # asked twice, answered once
        if len(self._requests) >= REQUESTS_MAX:
            failure = Failure(fault=Fault.OVERFLOW, message=f"{REQUESTS_MAX} requests wait for an answer")
            self._post(Reply(request_id=request_id, failure=failure))
            return
        task = asyncio.create_task(self._answer(message), name=f"{type(message).__name__} {request_id}")
        self._requests[request_id] = task
        task.add_done_callback(lambda _: self._requests.pop(request_id, None))

    async def _answer(self, message: Request) -> None:
        try:
            if isinstance(message, Input):
                await self._input(message)
            else:
                self.reply(message.request_id, await self._result(message))
        except asyncio.CancelledError:
            if not self._is_over:
                cancelled = Failure(fault=Fault.CANCELLED, message="nobody waited for it any more")
                self._post(Reply(request_id=message.request_id, failure=cancelled))
            raise
        except Exception as error:
            self._post(Reply(request_id=message.request_id, failure=failure_of(error)))

    def reply(self, request_id: str, result: Any = None) -> None:
        """Post a request's result; one that is too large is a failure."""
        try:
            self._post(Reply(request_id=request_id, result=result))
        except MessageTooLarge as error:
            failure = Failure(fault=Fault.INVALID, message=str(error), reason=Reason.OVERFLOW)
            self._post(Reply(request_id=request_id, failure=failure))

    async def _input(self, message: Input) -> None:
        turn = await self._link.next_turn()
        given = None
        if turn is not None:
            given = GivenTurn(id=turn.id, text=turn.text, understood=turn.understood, source=turn.source)
            self._given = message.request_id
        self._post(TurnGiven(handler_id=self._handler_id, request_id=message.request_id, turn=given))

    async def _result(self, message: Request) -> Any:
        result: Any = None
        match message:
            case Call():
                result = await self._link.call(message.target, message.arguments)
            case Interrupt():
                await self._link.interrupt()
            case GatherDigits():
                result = await self._gather(message)
            case History():
                result = await self._history()
            case Refer():
                await self._link.phone.refer(message.target_uri)
            case Deliver():
                result = await self._deliver(message)
            case Reconcile():
                await self._link.deliveries.reconcile(message.op_id, message.decision)
            case Input():
                raise AssertionError("an input is answered by a turn")
            case _:
                assert_never(message)
        return result

    async def _gather(self, message: GatherDigits) -> dict[str, str] | None:
        self._link.digits.give_back(message.returned)
        gathered: GatheredDigits | None = await self._link.digits.gather(
            max_digits=message.max_digits, timeout_s=message.timeout_s, end_on=message.end_on
        )
        return None if gathered is None else {"digits": gathered.digits, "ended_by": gathered.ended_by}

    async def _history(self) -> list[SpokenLine]:
        return [
            SpokenLine(by=said.by, id=said.id, text=said.text) for said in await self._link.recall.history()
        ]

    async def _deliver(self, message: Deliver) -> dict[str, Any]:
        outcome: DeliveryOutcome = await self._link.deliveries.deliver(
            Output(
                source_id=message.source_id,
                body=message.body,
                content_type=message.content_type,
                version=message.version,
                delivery=message.delivery,
                part=message.part,
            ),
            Destination(message.destination_kind, message.destination_id),
            None if message.sink is None else self._parcels.sink(self._handler_id, message.sink),
            required=message.required,
            deadline_s=message.deadline_s,
        )
        result: dict[str, Any] = msgspec.to_builtins(outcome)
        return result


class _Watch:
    """Tells an utterance's states once its reason and its record are there, and each but once."""

    __slots__ = ("_is_pending", "_tell", "_ticket", "_told")

    def __init__(self, ticket: UtteranceTicket, tell: Callable[[], None]) -> None:
        self._ticket = ticket
        self._tell = tell
        self._told = UtteranceState.PLANNED
        self._is_pending = False

    def __call__(self) -> None:
        if not self._is_pending:
            self._is_pending = True
            asyncio.get_running_loop().call_soon(self._later)

    def _later(self) -> None:
        self._is_pending = False
        if self._ticket.state is not self._told:
            self._told = self._ticket.state
            self._tell()
