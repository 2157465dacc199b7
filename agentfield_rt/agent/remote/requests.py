"""What the agent asks of the plane and waits for: one answer each, on whichever wire it comes."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agentfield_rt.channel.delivery import ChannelFull
from agentfield_rt.channel.message import Message
from agentfield_rt.channel.to_plane import Call, CancelRequest, Follow, SessionRequest

REQUESTS_MAX = 4_096

Asked = Call | Follow | SessionRequest


def new_request_id() -> str:
    """Unique for ever: of a call it is the key under which the plane runs it once."""
    return f"req_{secrets.token_hex(12)}"


@dataclass(slots=True, eq=False)
class _Waiting:
    asked: Asked
    answer: asyncio.Future[Any]
    execution_id: str | None = None


class Requests:
    """The requests that have no answer yet.

    Args:
        post: Sends a message to the plane.
        insist: As `post`, for what the plane relies on.
    """

    def __init__(self, post: Callable[[Message], None], insist: Callable[[Message], None]) -> None:
        self._post = post
        self._insist = insist
        self._waiting: dict[str, _Waiting] = {}

    async def ask(self, asked: Asked, *, late: Callable[[Any], None] | None = None) -> Any:
        """Send a request and wait for its answer. Cancelled, the plane is told that nobody waits.

        Args:
            late: Is given what was answered when nobody waited any more.

        Raises:
            ChannelFull: the plane receives nothing, or too much is asked at once.
            Exception: what the plane answered in place of a result.
        """
        if len(self._waiting) >= REQUESTS_MAX:
            raise ChannelFull(f"{REQUESTS_MAX} requests wait for an answer")
        waiting = _Waiting(asked, asyncio.get_running_loop().create_future())
        self._post(asked)
        self._waiting[asked.request_id] = waiting
        try:
            return await asyncio.shield(waiting.answer)
        except asyncio.CancelledError:
            self._abandon(waiting, late)
            raise

    def _abandon(self, waiting: _Waiting, late: Callable[[Any], None] | None) -> None:
        def take(answer: asyncio.Future[Any]) -> None:
            if not answer.cancelled() and answer.exception() is None and late is not None:
                late(answer.result())

        waiting.answer.add_done_callback(take)
        handler_id = waiting.asked.handler_id if not isinstance(waiting.asked, Follow) else None
        self._insist(CancelRequest(request_id=waiting.asked.request_id, handler_id=handler_id))

    def answer(self, request_id: str, result: Any) -> None:
        """The plane has answered."""
        if (waiting := self._waiting.pop(request_id, None)) is not None:
            waiting.answer.set_result(result)

    def refuse(self, request_id: str, error: Exception) -> None:
        """The plane has refused."""
        if (waiting := self._waiting.pop(request_id, None)) is not None:
            waiting.answer.set_exception(error)
            waiting.answer.exception()  # nobody may wait for it any more

    def accepted(self, request_id: str, execution_id: str) -> None:
        """A call is durable, under this id."""
        if (waiting := self._waiting.get(request_id)) is not None:
            waiting.execution_id = execution_id

    def end(self, handler_id: str, error: Callable[[], Exception]) -> None:
        """A handler has ended; nothing that it asked is answered."""
        for request_id, waiting in tuple(self._waiting.items()):
            asked = waiting.asked
            if not isinstance(asked, Follow) and asked.handler_id == handler_id:
                self.refuse(request_id, error())

    def ask_again(self) -> None:
        """This plane knows nothing of what was asked before: calls outside of sessions are asked anew."""
        for request_id, waiting in tuple(self._waiting.items()):
            asked = waiting.asked
            if waiting.execution_id is not None:
                asked = Follow(request_id=request_id, execution_id=waiting.execution_id)
            try:
                self._post(asked)
            except ChannelFull as full:  # on one wire after another they fitted, on a new one they do not
                self.refuse(request_id, full)
