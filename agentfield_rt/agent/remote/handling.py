"""Runs the session handlers that the plane begins; each run has a link of its own, and ends with it."""

import asyncio
import logging
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from agentfield_rt.agent.remote.link import RemoteLink
from agentfield_rt.agent.remote.requests import Requests
from agentfield_rt.channel.message import Message
from agentfield_rt.channel.shapes import HandlerFailure
from agentfield_rt.channel.to_agent import BeginHandler, CarryParcel, MeterRead, UtteranceChanged
from agentfield_rt.channel.to_plane import HandlerEnded
from agentfield_rt.errors import SessionClosed

if TYPE_CHECKING:
    from agentfield_rt.agent.agent import Agent

log = logging.getLogger(__name__)


class Handling:
    """The handlers of this process.

    Args:
        post: Sends a message to the plane.
        insist: As `post`, for what the plane relies on.
    """

    def __init__(
        self,
        agent: "Agent",
        requests: Requests,
        post: Callable[[Message], None],
        insist: Callable[[Message], None],
    ) -> None:
        self._agent = agent
        self._requests = requests
        self._post = post
        self._insist = insist
        self._links: dict[str, RemoteLink] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._carrying: set[asyncio.Task[None]] = set()

    def begin(self, message: BeginHandler) -> None:
        """Run the function of a session."""
        link = RemoteLink(message, self._requests, self._post, self._insist)
        task = asyncio.create_task(self._run(message, link), name=f"handler {message.session_id}")
        self._links[message.handler_id] = link
        self._tasks[message.handler_id] = task
        task.add_done_callback(lambda _: self._forget(message.handler_id))

    def cancel(self, handler_id: str) -> None:
        """The plane does not want it any more."""
        if (task := self._tasks.get(handler_id)) is not None:
            self._links[handler_id].end()
            task.cancel()

    def tell(self, message: UtteranceChanged | MeterRead | CarryParcel) -> None:
        """Something of a session changed, or is to be carried; nobody may want to know any more."""
        link = self._links.get(message.handler_id)
        if link is None:
            return
        match message:
            case UtteranceChanged():
                link.utterance_changed(message)
            case MeterRead():
                link.meter_read(message)
            case CarryParcel():
                task = asyncio.create_task(link.deliveries.carry(message), name=message.request_id)
                self._carrying.add(task)
                task.add_done_callback(self._carrying.discard)

    def cancel_all(self) -> None:
        """This plane knows of none of them."""
        for handler_id in tuple(self._tasks):
            self.cancel(handler_id)

    async def finish(self) -> None:
        """Return when all have ended."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks.values()))

    async def close(self) -> None:
        """Stop them all."""
        tasks = (*self._tasks.values(), *self._carrying)
        self.cancel_all()
        for task in self._carrying:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _forget(self, handler_id: str) -> None:
        del self._tasks[handler_id]
        self._links.pop(handler_id).end()

    async def _run(self, message: BeginHandler, link: RemoteLink) -> None:
        failure: HandlerFailure | None = None
        try:
            await self._agent.sessions[message.session_name].handler()(link)
        except (Exception, BaseExceptionGroup, SystemExit, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            failure = self._failure(message, error)
        self._insist(HandlerEnded(handler_id=message.handler_id, failure=failure))

    def _failure(self, message: BeginHandler, error: BaseException) -> HandlerFailure:
        """Its text may hold what the user said: the traceback is for hosts that ask for it."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
        kind = type(error).__name__
        in_detail = log.isEnabledFor(logging.DEBUG)
        if not isinstance(error, SessionClosed):
            log.warning(
                "the handler of session %s raised %s at %s",
                message.session_id,
                kind,
                place,
                exc_info=error if in_detail else None,
            )
        return HandlerFailure(error=kind, place=place, session_closed=isinstance(error, SessionClosed))
