"""Publishes many messages to JetStream at once and waits for all their answers together.

The client's own `publish` makes a future, a timer and a task wake-up for each message, which costs more
than the server does. Knows nothing of what a message holds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError
from nats.js.errors import APIError, NoStreamResponseError

_EXPECTED_STREAM = "Nats-Expected-Stream"
_EXPECTED_PLACE = "Nats-Expected-Last-Subject-Sequence"
_WRONG_PLACE = 10071


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A message, and the number in the stream of the last one before it on its subject (0: none)."""

    subject: str
    data: bytes
    after: int


class _Refusal(msgspec.Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct, frozen=True):
    seq: int = 0
    error: _Refusal | None = None


_decode_answer = msgspec.json.Decoder(_Answer).decode


class Publisher:
    """Used for one `publish` at a time.

    Args:
        stream: The only stream that may take the messages.
        answer_s: How long the server may take for the answers to one `publish`.
    """

    def __init__(self, client: Client, stream: str, *, answer_s: float) -> None:
        self._client = client
        self._stream = stream
        self._answer_s = answer_s
        self._inbox = ""
        self._published = 0
        self._answers: dict[str, Msg | None] = {}
        self._missing = 0
        self._complete: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Listen for answers; the client must be connected."""
        self._inbox = self._client.new_inbox()
        # The library leaves this method's other parameters partly untyped.
        subscribe = cast(
            Callable[[str, str, Callable[[Msg], Awaitable[None]]], Awaitable[object]],
            self._client.subscribe,  # pyright: ignore[reportUnknownMemberType]
        )
        await subscribe(f"{self._inbox}.*", "", self._answered)

    async def publish(self, messages: Sequence[Outgoing]) -> list[int | None]:
        """Publish `messages`, in order.

        Returns:
            For each its number in the stream; None when the last one on its subject is not number `after`.

        Raises:
            nats.errors.Error: the stream refused one, or the connection is lost; which others are stored is
                unknown.
            TimeoutError: not all answers came in time.
        """
        self._complete = asyncio.get_running_loop().create_future()
        first = self._published
        self._published += len(messages)
        replies = [f"{self._inbox}.{number}" for number in range(first, self._published)]
        self._answers = dict.fromkeys(replies)
        self._missing = len(replies)
        for message, reply in zip(messages, replies, strict=True):
            headers = {_EXPECTED_STREAM: self._stream, _EXPECTED_PLACE: str(message.after)}
            await self._client.publish(message.subject, message.data, reply, headers)
        async with asyncio.timeout(self._answer_s):
            await self._complete
        return [_place(answer) for answer in self._answers.values()]

    async def lost(self) -> None:
        """The connection is closed: no answer comes any more."""
        if self._complete is not None and not self._complete.done():
            self._complete.set_exception(ConnectionClosedError())

    async def _answered(self, message: Msg) -> None:
        if self._answers.get(message.subject, message) is not None:
            return  # to an earlier `publish`, or a second time
        self._answers[message.subject] = message
        self._missing -= 1
        if not self._missing and self._complete is not None and not self._complete.done():
            self._complete.set_result(None)


def _place(message: Msg | None) -> int | None:
    if message is None or not message.data:
        raise NoStreamResponseError  # an answer without content: nobody listens on the subject
    answer = _decode_answer(message.data)
    if answer.error is None:
        return answer.seq
    if answer.error.err_code == _WRONG_PLACE:
        return None
    raise APIError(
        code=answer.error.code, err_code=answer.error.err_code, description=answer.error.description
    )
