"""Who waits for which answer of the provider, and which event is an answer to what. Sends nothing."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from agentfield_adapters.event_buffer import fresh
from agentfield_adapters.openai import server_events as server
from agentfield_rt.errors import ConnectionLost

SESSION_CREATED = "session.created"
SESSION_UPDATED = "session.updated"
SESSION_RESTORED = "session restored"
"""The key for a session that is again as it was agreed, after somebody else had changed it."""
UNNAMED = ""
"""The key of an error that does not say which event it refuses; other errors have that event's id."""


def done(response_id: str) -> str:
    """The key for the end of a response."""
    return f"done {response_id}"


def silent(response_id: str) -> str:
    """The key for the end of a response's playback."""
    return f"silent {response_id}"


def cut(item_id: str) -> str:
    """The key for an item being shortened or removed."""
    return f"cut {item_id}"


def key_of(event: server.ReadEvent | server.Unread) -> str | None:
    """What `event` is the answer to, if it can be one to anything."""
    key: str | None
    match event:
        case server.SessionCreated():
            key = SESSION_CREATED
        case server.SessionUpdated():
            key = SESSION_UPDATED
        case server.ResponseDone(response=info):
            key = done(info.id)
        case server.ItemTruncated(item_id=item_id) | server.ItemDeleted(item_id=item_id):
            key = cut(item_id)
        case (
            server.PlaybackStopped(response_id=response_id) | server.PlaybackCleared(response_id=response_id)
        ):
            key = silent(response_id)
        case _:
            key = None
    return key


class Acknowledgements:
    """Futures by key. A key is settled with None, or with the code of the error that came instead."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Future[str | None]]] = {}

    @contextmanager
    def expect(self, *keys: str) -> Generator[asyncio.Future[str | None]]:
        """Expect the first of `keys`. Enter before the request is sent: its answer may be quick."""
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        for key in keys:
            self._waiting.setdefault(key, []).append(answer)
        try:
            yield answer
        finally:
            for key in keys:
                self._forget(key, answer)
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # seen: a waiter that was cancelled leaves a failure nobody else will read

    def settle(self, key: str, code: str | None = None) -> None:
        """The answer `key` has come; nobody need wait for it."""
        for answer in self._waiting.get(key, ()):
            if not answer.done():
                answer.set_result(code)

    def fail(self, loss: ConnectionLost) -> None:
        """No more answers come."""
        for answers in self._waiting.values():
            for answer in answers:
                if not answer.done():
                    answer.set_exception(fresh(loss))

    def _forget(self, key: str, answer: asyncio.Future[str | None]) -> None:
        answers = self._waiting[key]
        answers.remove(answer)
        if not answers:
            del self._waiting[key]
