"""A session as its handler reaches it from another process (`SessionLink`)."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from agentfield_rt.agent.remote.outputs import RemoteDeliveries
from agentfield_rt.agent.remote.requests import Requests, new_request_id
from agentfield_rt.channel.message import Message
from agentfield_rt.channel.shapes import GivenTurn
from agentfield_rt.channel.to_agent import BeginHandler, MeterRead, UtteranceChanged
from agentfield_rt.channel.to_plane import (
    Call,
    CloseSession,
    GatherDigits,
    History,
    Input,
    Interrupt,
    KeepState,
    Refer,
    Say,
)
from agentfield_rt.errors import CloseReason, Reason, SessionClosed
from agentfield_rt.frames import RateLimit, Usage
from agentfield_rt.idle import Signal
from agentfield_rt.voice.digits import GatheredDigits, GatherEnd
from agentfield_rt.voice.link import FINAL_STATES, Spoken, Turn, UtteranceState
from agentfield_rt.voice.recall import encode_state

Post = Callable[[Message], None]


class RemoteUtterance:
    """Something that was said, as far as the plane has told; satisfies `UtteranceTicket`."""

    def __init__(self, utterance_id: str) -> None:
        self.utterance_id = utterance_id
        self.state = UtteranceState.PLANNED
        self.heard = ""
        self.reason: Reason | None = None
        self._final = Signal()
        self._watcher: Callable[[], None] | None = None

    async def wait(self) -> None:
        await self._final.wait()

    def watch(self, watcher: Callable[[], None]) -> None:
        self._watcher = watcher

    def change(self, state: UtteranceState, heard: str, reason: Reason | None) -> None:
        """The plane told what became of it."""
        if self.state in FINAL_STATES:
            return
        self.state, self.heard, self.reason = state, heard, reason
        if self._watcher is not None:
            self._watcher()
        if state in FINAL_STATES:
            self._final.set()


class RemoteMeter:
    """What the session costs, as it was told last."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.rate_limits: tuple[RateLimit, ...] = ()
        self._watcher: Callable[[], None] | None = None

    def watch(self, watcher: Callable[[], None] | None) -> None:
        self._watcher = watcher

    def read(self, usage: Usage, rate_limits: tuple[RateLimit, ...]) -> None:
        """The plane told."""
        self.usage, self.rate_limits = usage, rate_limits
        if self._watcher is not None:
            self._watcher()


class RemoteDigits:
    """What the caller dials. Digits that came for somebody who had stopped waiting are not lost."""

    def __init__(self, handler_id: str, requests: Requests) -> None:
        self._handler_id = handler_id
        self._requests = requests
        self._returned = ""

    async def next(self) -> str | None:
        gathered = await self.gather(max_digits=1, timeout_s=None)
        return None if gathered is None else gathered.digits

    async def gather(
        self, *, max_digits: int, timeout_s: float | None, end_on: str = ""
    ) -> GatheredDigits | None:
        returned, self._returned = self._returned, ""
        asked = GatherDigits(
            handler_id=self._handler_id,
            request_id=new_request_id(),
            max_digits=max_digits,
            timeout_s=timeout_s,
            end_on=end_on,
            returned=returned,
        )
        gathered = await self._requests.ask(asked, late=self._late)
        return (
            None if gathered is None else GatheredDigits(gathered["digits"], GatherEnd(gathered["ended_by"]))
        )

    def give_back(self, digits: str) -> None:
        self._returned = digits + self._returned

    def _late(self, gathered: dict[str, str] | None) -> None:
        if gathered is not None:
            self._returned += gathered["digits"]


class RemotePhone:
    """The call, where it is one by telephone."""

    def __init__(self, handler_id: str, requests: Requests) -> None:
        self._handler_id = handler_id
        self._requests = requests

    async def refer(self, target_uri: str) -> None:
        asked = Refer(handler_id=self._handler_id, request_id=new_request_id(), target_uri=target_uri)
        await self._requests.ask(asked)


class RemoteRecall:
    """What the handler knows when it begins anew."""

    def __init__(self, begin: BeginHandler, requests: Requests, post: Post) -> None:
        self._handler_id = begin.handler_id
        self._kept = encode_state(begin.state)
        self._requests = requests
        self._post = post
        self.state: dict[str, Any] = dict(begin.state)

    def keep(self, state: Mapping[str, Any]) -> None:
        encoded = encode_state(state)
        if encoded != self._kept:
            self._post(KeepState(handler_id=self._handler_id, state=dict(state)))
            self._kept = encoded

    async def history(self) -> tuple[Spoken, ...]:
        asked = History(handler_id=self._handler_id, request_id=new_request_id())
        lines: list[dict[str, Any]] = await self._requests.ask(asked)
        return tuple(Spoken(line["by"], line["id"], line["text"]) for line in lines)


class RemoteLink:
    """The session of one run of a handler.

    Args:
        post: Sends a message to the plane.
        insist: As `post`, for what the plane relies on.
    """

    def __init__(self, begin: BeginHandler, requests: Requests, post: Post, insist: Post) -> None:
        self.handler_id = begin.handler_id
        self.session_id = begin.session_id
        self.run_id = begin.run_id
        self.metadata: Mapping[str, Any] = begin.metadata
        self.is_over = False
        self.digits = RemoteDigits(begin.handler_id, requests)
        self.meter = RemoteMeter()
        self.phone = RemotePhone(begin.handler_id, requests)
        self.deliveries = RemoteDeliveries(begin.handler_id, requests, insist)
        self.recall = RemoteRecall(begin, requests, post)
        self._requests = requests
        self._post = post
        self._numbers = itertools.count(1)
        self._utterances: dict[str, RemoteUtterance] = {}

    async def next_turn(self) -> Turn | None:
        if self.is_over:
            return None
        asked = Input(handler_id=self.handler_id, request_id=new_request_id())
        given: GivenTurn | None = await self._requests.ask(asked)
        if given is None:
            self.is_over = True
            return None
        return Turn(given.id, given.text, given.understood, given.source)

    def give_back_turn(self) -> None:
        raise NotImplementedError("the plane gives turns back by itself")

    def say(self, text: str | None, instructions: str | None) -> RemoteUtterance:
        self._require_open()
        utterance = RemoteUtterance(f"{self.handler_id}.{next(self._numbers)}")
        self._post(
            Say(
                handler_id=self.handler_id,
                utterance_id=utterance.utterance_id,
                text=text,
                instructions=instructions,
            )
        )
        self._utterances[utterance.utterance_id] = utterance
        return utterance

    async def call(self, target: str, arguments: Mapping[str, Any]) -> Any:
        self._require_open()
        return await self._requests.ask(
            Call(
                handler_id=self.handler_id,
                request_id=new_request_id(),
                target=target,
                arguments=dict(arguments),
            )
        )

    async def interrupt(self) -> None:
        self._require_open()
        await self._requests.ask(Interrupt(handler_id=self.handler_id, request_id=new_request_id()))

    async def close(self, reason: CloseReason = CloseReason.NORMAL) -> None:
        if not self.is_over:
            await self._requests.ask(CloseSession(handler_id=self.handler_id, request_id=new_request_id()))
            self.is_over = True

    def _require_open(self) -> None:
        if self.is_over:
            raise SessionClosed(f"session {self.session_id} is over; nothing more can be done in it")

    # What the plane tells.

    def utterance_changed(self, message: UtteranceChanged) -> None:
        """Something that was said has come further."""
        utterance = self._utterances.get(message.utterance_id)
        if utterance is not None:
            utterance.change(message.state, message.heard, message.reason)
            if message.state in FINAL_STATES:
                del self._utterances[message.utterance_id]

    def meter_read(self, message: MeterRead) -> None:
        """It has cost more."""
        self.meter.read(message.usage, message.rate_limits)

    def end(self) -> None:
        """This run is over, for the plane at least: nothing more is heard of what it did."""
        self.is_over = True
        for utterance in self._utterances.values():
            utterance.change(UtteranceState.SKIPPED, "", Reason.CANCELLED)
        self._utterances.clear()
        self._requests.end(self.handler_id, self._closed)

    def _closed(self) -> Exception:
        return SessionClosed(f"session {self.session_id} is over, or another process handles it")
