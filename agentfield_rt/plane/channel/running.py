"""One run of a session's handler at an agent elsewhere: begun, watched, stopped, lost."""

import asyncio
from collections.abc import Callable
from contextvars import copy_context

from agentfield_journal import JournalError
from agentfield_rt.channel.message import Message
from agentfield_rt.channel.shapes import HandlerFailure
from agentfield_rt.channel.to_agent import BeginHandler, CancelHandler
from agentfield_rt.channel.to_plane import (
    CancelRequest,
    CloseSession,
    HandlerEnded,
    KeepState,
    ParcelCarried,
    Say,
)
from agentfield_rt.errors import IllegalCommand, RealtimeError, SessionClosed
from agentfield_rt.plane.channel.parcels import Parcels
from agentfield_rt.plane.channel.serving import Request, Serving
from agentfield_rt.voice.link import SessionLink

HandlerMessage = Request | CancelRequest | CloseSession | HandlerEnded | KeepState | ParcelCarried | Say


class HandlerFailed(RealtimeError):
    """The function raised, at the agent; its log says more."""


class InstanceGone(RealtimeError):
    """Whoever ran the handler has not been heard for too long, or said goodbye."""


class HandlerRun:
    """One run. Its messages carry its id, so nothing is heard of an earlier one that still runs somewhere.

    Args:
        post: Reaches the instance that runs it.
    """

    def __init__(
        self, handler_id: str, link: SessionLink, post: Callable[[Message], None], *, parcels: Parcels
    ) -> None:
        self.handler_id = handler_id
        self._link = link
        self._post = post
        self._parcels = parcels
        self._context = copy_context()
        self._serving = Serving(handler_id, link, post, parcels=parcels)
        self._ended: asyncio.Future[HandlerFailure | None] = asyncio.get_running_loop().create_future()
        self._closing: CloseSession | None = None
        self._wake = asyncio.Event()

    async def run(self, session_name: str) -> None:
        """Have the agent run it, to its end.

        Raises:
            HandlerFailed: it raised.
            SessionClosed: it raised that.
            InstanceGone: nobody knows what became of it.
        """
        link = self._link
        try:
            self._post(
                BeginHandler(
                    handler_id=self.handler_id,
                    session_name=session_name,
                    session_id=link.session_id,
                    run_id=link.run_id,
                    metadata=dict(link.metadata),
                    state=link.recall.state,
                )
            )
            self._serving.open()
            failure = await self._until_ended()
        except asyncio.CancelledError:
            self._post(CancelHandler(handler_id=self.handler_id))
            raise
        finally:
            await self._serving.close()
        if failure is None:
            return
        if failure.session_closed:
            raise SessionClosed(f"session {link.session_id} is over")
        raise HandlerFailed(f"{failure.error} at {failure.place}")

    async def _until_ended(self) -> HandlerFailure | None:
        while not self._ended.done():
            self._wake.clear()
            if (closing := self._closing) is not None:
                self._closing = None
                # In the handler's own task: the session waits for that one, and knows that it hung up.
                await self._link.close()
                self._serving.reply(closing.request_id)
            await self._wake.wait()
        return self._ended.result()

    def take(self, message: HandlerMessage) -> None:
        """Something the handler did; log lines of what follows from it are the session's."""
        if not self._ended.done():
            self._context.run(self._take, message)
        elif isinstance(message, ParcelCarried):  # not the handler's word, but that of its sink
            self._parcels.carried(message)

    def _take(self, message: HandlerMessage) -> None:
        match message:
            case Say():
                self._serving.say(message)
            case KeepState():
                self._keep(message)
            case HandlerEnded():
                self._end(message.failure)
            case CloseSession():
                self._closing = message
                self._wake.set()
            case CancelRequest():
                self._serving.cancel(message)
            case ParcelCarried():
                self._parcels.carried(message)
            case _:
                self._serving.ask(message)

    def lose(self) -> None:
        """The instance is gone."""
        if not self._ended.done():
            self._ended.set_exception(InstanceGone("the agent that ran the handler is gone"))
            self._wake.set()

    def _keep(self, message: KeepState) -> None:
        try:
            self._link.recall.keep(message.state)
        except (IllegalCommand, JournalError) as error:
            self._end(HandlerFailure(error=type(error).__name__, place="session.state"))
            self._post(CancelHandler(handler_id=self.handler_id))

    def _end(self, failure: HandlerFailure | None) -> None:
        if not self._ended.done():
            self._ended.set_result(failure)
            self._wake.set()
