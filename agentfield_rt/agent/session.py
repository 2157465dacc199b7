"""The session as a handler sees it: turns come in, speech goes out, reasoners do the work."""

import dataclasses
from collections.abc import AsyncIterator, Generator, Mapping
from typing import Any

from pydantic import BaseModel

from agentfield_rt.core.records import Decision
from agentfield_rt.deliveries import DEADLINE_S, DeliveryOutcome
from agentfield_rt.errors import CloseReason, Reason, SessionClosed
from agentfield_rt.frames import RateLimit, Usage
from agentfield_rt.sinks import Destination, Output, Sink
from agentfield_rt.voice.digits import GatheredDigits
from agentfield_rt.voice.link import SessionLink, Spoken, Turn, UtteranceState, UtteranceTicket


class UtteranceHandle:
    """Something the agent says. `await handle` returns when it has been heard, cut off or given up."""

    def __init__(self, ticket: UtteranceTicket) -> None:
        self._ticket = ticket

    @property
    def id(self) -> str:
        return self._ticket.utterance_id

    @property
    def state(self) -> UtteranceState:
        """planned → synthesising → playing → one of played, interrupted, failed, skipped."""
        return self._ticket.state

    @property
    def heard(self) -> str:
        """The words the caller heard."""
        return self._ticket.heard

    @property
    def reason(self) -> Reason | None:
        """Why it failed or was skipped."""
        return self._ticket.reason

    def __await__(self) -> Generator[Any, None, "UtteranceHandle"]:
        yield from self._ticket.wait().__await__()
        return self


class RealtimeSession:
    """One call, for its handler.

    `session.input()` gives turns, `session.call()` runs reasoners within the call's workflow,
    `session.say()` speaks.

    Attributes:
        state: A JSON object that is kept with the session: what the handler puts there is there when it
            begins anew, after an error or in another process. It is written down before each turn that is
            asked for, each word that is said and each call that is made, and when the handler returns.
    """

    def __init__(self, link: SessionLink) -> None:
        self._link = link
        self.state: dict[str, Any] = link.recall.state

    @property
    def id(self) -> str:
        return self._link.session_id

    @property
    def run_id(self) -> str:
        """The workflow run that every turn of this call belongs to."""
        return self._link.run_id

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self._link.metadata

    @property
    def usage(self) -> Usage:
        """What the call has cost so far, as far as its provider says."""
        return self._link.meter.usage

    @property
    def rate_limits(self) -> tuple[RateLimit, ...]:
        """How near this account is to its provider's limits, as of the latest answer."""
        return self._link.meter.rate_limits

    async def input(self) -> Turn:
        """The user's next turn, complete. Asking for it means that the one before is answered.

        Raises:
            SessionClosed: the call is over.
        """
        self.keep_state()
        turn = await self._link.next_turn()
        if turn is None:
            raise SessionClosed(f"session {self.id} is over; there are no further turns")
        return turn

    async def turns(self) -> AsyncIterator[Turn]:
        """Every turn until the call is over."""
        while True:
            self.keep_state()
            if (turn := await self._link.next_turn()) is None:
                return
            yield turn

    def keep_state(self) -> None:
        """Write `state` down now, where it changed; `input`, `say`, `reply` and `call` do so by themselves.

        Raises:
            IllegalCommand: it is no JSON, or larger than 64 KiB; what was kept before still is.
        """
        if not self._link.is_over:
            self._link.recall.keep(self.state)

    async def history(self) -> tuple[Spoken, ...]:
        """What was said in this call until now, oldest first: of the agent, what the caller heard.

        It comes from the journal's records, so it is the same after the handler began anew.
        """
        return await self._link.recall.history()

    async def digits(self) -> AsyncIterator[str]:
        """Every digit the caller dials until the call is over: one of 0-9, `*`, `#` and A-D at a time."""
        while (digit := await self._link.digits.next()) is not None:
            yield digit

    async def gather_digits(
        self, *, max_digits: int, timeout_s: float = 5.0, end_on: str = "#"
    ) -> GatheredDigits:
        """What the caller dials next, as one: a PIN, an order number, a choice from a menu.

        Digits dialled before this was asked for count. A cancelled call takes none of them.

        Args:
            max_digits: So many are complete without another, 1 to 64. One of `end_on` behind them belongs to
                them if it is there already; where the length is fixed, `end_on=""` is clearer.
            timeout_s: A caller who dials nothing for so long is done, or has left.
            end_on: Each of these digits ends them and is not among them; "" for none.

        Raises:
            SessionClosed: the call is over.
        """
        gathered = await self._link.digits.gather(max_digits=max_digits, timeout_s=timeout_s, end_on=end_on)
        if gathered is None:
            raise SessionClosed(f"session {self.id} is over; nobody dials any more")
        return gathered

    def say(self, text: str) -> UtteranceHandle:
        """Speak `text` word for word, after what is being said. Returns at once; await it to wait.

        Raises:
            SessionClosed: the call is over.
        """
        self.keep_state()
        return UtteranceHandle(self._link.say(text, None))

    def reply(self, instructions: str) -> UtteranceHandle:
        """Let the provider's model answer by itself, following `instructions`.

        Raises:
            SessionClosed: the call is over.
        """
        self.keep_state()
        return UtteranceHandle(self._link.say(None, instructions))

    async def call(self, target: str, **arguments: Any) -> Any:
        """Run the reasoner `node.name`; it lands in this call's workflow.

        Turns, dataclasses and pydantic models among the arguments arrive as plain JSON objects. Where the
        caller leaves, or `asyncio.timeout` runs out around it, the execution is cancelled.

        Raises:
            ExecutionFailed: it does not exist, raised, or was cancelled.
        """
        self.keep_state()
        return await self._link.call(target, {name: plain(value) for name, value in arguments.items()})

    async def deliver(
        self,
        output: Output,
        destination: Destination,
        sink: Sink | None,
        *,
        required: bool = False,
        deadline_s: float = DEADLINE_S,
    ) -> DeliveryOutcome:
        """Hand `output` to the outside, at most once, and all of it recorded; see `Deliveries.deliver`.

        Raises:
            RepairNeeded: an earlier try may have arrived; `session.reconcile` comes first.
            IllegalCommand: it was given up in doubt, or too much is under way.
        """
        return await self._link.deliveries.deliver(
            output, destination, sink, required=required, deadline_s=deadline_s
        )

    async def reconcile(self, op_id: str, decision: Decision) -> None:
        """Say what became of a delivery in doubt; see `Deliveries.reconcile`.

        Raises:
            IllegalCommand: it is not in doubt, or was decided otherwise.
        """
        await self._link.deliveries.reconcile(op_id, decision)

    async def refer(self, target_uri: str) -> None:
        """Hand a phone call on: the caller goes on talking at `tel:+15550100` or `sip:desk@example.com`.

        When this returns the provider has taken it over (SIP: REFER). The session ends, as `caller_gone`,
        when the target has answered; if nobody does, the caller is still here.

        Raises:
            UnsupportedTransport: this is no phone call.
            IllegalCommand: that is no address, or the call is being handed on already. Nothing was done.
            ProviderError: the call was not handed on, or nobody knows (`not_done`). It is never tried again
                by itself.
        """
        await self._link.phone.refer(target_uri)

    async def interrupt(self) -> None:
        """Stop what is being said and skip what waits; returns when it is silent."""
        await self._link.interrupt()

    async def close(self) -> None:
        """Hang up. The handler is cancelled at its next await."""
        await self._link.close(CloseReason.NORMAL)


def plain(value: Any) -> Any:
    """`value` as JSON would carry it, where we know how."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value
