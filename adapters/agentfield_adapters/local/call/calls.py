"""The calls a provider has going on: begun by an offer, ended by either side, gone when ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from agentfield_adapters.local.call.offer import checked_offer
from agentfield_adapters.local.call.peer import Peer
from agentfield_adapters.local.call.speech import CallPlayback
from agentfield_adapters.local.conversation.conversation import Conversation
from agentfield_adapters.local.event_stream import EventListener
from agentfield_adapters.local.instrument.setups import Setup
from agentfield_adapters.local.protocol.session import MODEL_DEFAULT, SessionPatch
from agentfield_adapters.local.protocol.validation import Refusal
from agentfield_adapters.local.provider import Provider
from agentfield_adapters.media.webrtc.pacing import Pacer

_log = logging.getLogger(__name__)

CALLS_MAX = 100
CONNECT_S_MAX = 30.0


class Media(Protocol):
    """What carries a call's sound: a peer connection, or a telephone line."""

    async def close(self) -> None:
        """Hang up."""
        ...


class Sideband(EventListener, Protocol):
    """A websocket that shares a call's session."""

    def end(self) -> None:
        """Close it: the call has ended."""
        ...


@dataclass(slots=True, eq=False)
class Call:
    """One call.

    Attributes:
        setup: What it runs with; its sidebands too, unless their address says otherwise.
        on_end: Called when it has ended.
        sidebands: The websockets that share its session.
    """

    call_id: str
    conversation: Conversation
    media: Media
    setup: Setup
    on_end: Callable[[], None] = lambda: None
    sidebands: list[Sideband] = field(default_factory=list)
    watch: asyncio.Task[None] | None = None

    def join(self, sideband: Sideband) -> None:
        """Share the session's events with `sideband` from now on."""
        self.sidebands.append(sideband)
        self.conversation.stream.join(sideband)

    def leave(self, sideband: Sideband) -> None:
        """Share nothing more."""
        self.conversation.stream.leave(sideband)
        if sideband in self.sidebands:
            self.sidebands.remove(sideband)


class Calls:
    """All calls of a provider."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._calls: dict[str, Call] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._pacer = Pacer()

    async def begin(self, sdp: bytes, patch: SessionPatch | None, setup: Setup) -> tuple[str, str]:
        """Answer an offer.

        Returns:
            The call id and the SDP answer.

        Raises:
            Refusal: The offer or the session cannot be had, or there are too many calls.
        """
        offer = checked_offer(sdp)
        if len(self._calls) >= CALLS_MAX:
            raise Refusal("too_many_calls", f"At most {CALLS_MAX} calls go on at a time: hang one up.")
        playback = CallPlayback()
        new = self._provider.new_session(_model(patch), playback, setup)
        peer = Peer(new.conversation, playback, pacer=self._pacer, on_gone=lambda: self.gone(new.call_id))
        try:
            await new.conversation.open(patch)
            answer = await peer.answer(offer)
        except Refusal:
            await peer.close()
            await new.conversation.close()
            raise
        call = Call(new.call_id, new.conversation, peer, setup)
        self.put_through(call)
        connecting = self._expect_connection(call.call_id, peer.connected)
        call.watch = asyncio.create_task(connecting, name=f"connect {call.call_id}")
        return call.call_id, answer

    def put_through(self, call: Call) -> None:
        """Let a call go on whose media is there."""
        self._calls[call.call_id] = call

    def get(self, call_id: str) -> Call | None:
        """Return a call that is going on."""
        return self._calls.get(call_id)

    async def end(self, call_id: str) -> bool:
        """Hang up; False when no such call is going on."""
        call = self._calls.pop(call_id, None)
        if call is None:
            return False
        if call.watch is not None and call.watch is not asyncio.current_task():
            call.watch.cancel()
        for sideband in tuple(call.sidebands):
            sideband.end()
        await call.conversation.close()
        await call.media.close()
        call.on_end()
        return True

    async def end_all(self) -> None:
        """Hang up every call; for the end of the provider."""
        await asyncio.gather(*(self.end(call_id) for call_id in tuple(self._calls)))
        await asyncio.gather(*self._ending)

    def gone(self, call_id: str) -> None:
        """The other side has left: end the call, if there is one."""
        if call_id in self._calls:
            task = asyncio.create_task(self._end_quietly(call_id), name=f"end {call_id}")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _end_quietly(self, call_id: str) -> None:
        await self.end(call_id)

    async def _expect_connection(self, call_id: str, connected: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                await connected.wait()
        except TimeoutError:
            _log.info("a call did not connect within %.0f s", CONNECT_S_MAX)
            await self.end(call_id)


def _model(patch: SessionPatch | None) -> str:
    return patch.model if patch is not None and isinstance(patch.model, str) else MODEL_DEFAULT
