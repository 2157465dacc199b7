"""A session followed, as it goes on (`af session watch`) or once more (`replay`)."""

import asyncio
import contextlib
from collections.abc import Callable

from rich.status import Status

from agentfield_rt.cli.connection import Connection, segment
from agentfield_rt.cli.failures import ExitCode, Failure
from agentfield_rt.cli.http import Broken, PlaneClient, ServerEvent, decoded
from agentfield_rt.cli.printing import literal, stderr, stdout, write_result
from agentfield_rt.cli.session_requests import SESSIONS
from agentfield_rt.cli.session_story import RecordView, Story

AGAIN_MAX = 5
"""How often a stream that broke is asked for anew before anything came on it."""
AGAIN_AFTER_S = 1.0


def watch_session(connection: Connection, session_id: str, *, every: bool, as_json: bool) -> None:
    """Print what happens in a session until it ends; a connection that breaks is taken up where it broke."""
    live = stderr().status("waiting …")
    teller = _Teller(Story(every=every), as_json=as_json, live=None if as_json else live)
    with live if stderr().is_terminal and not as_json else _NOTHING:
        connection.ask(lambda plane: _follow(plane, session_id, teller))


async def _follow(plane: PlaneClient, session_id: str, teller: "_Teller") -> None:
    after, failures = 0, 0
    while True:
        try:
            path = f"{SESSIONS}/{segment(session_id)}/events?after={after}"
            async with contextlib.aclosing(plane.events("session watch", path)) as events:
                async for event in events:
                    failures = 0
                    after = int(event.id) if event.id else after
                    if event.name == "end":
                        return
                    teller.tell(event)
        except Broken:
            failures += 1
            if failures > AGAIN_MAX:
                raise
            await asyncio.sleep(AGAIN_AFTER_S)
        else:  # the server went down in good order, or nothing more will come
            return


class _Teller:
    """Prints events: records as lines, what is being said just now in the line below them."""

    def __init__(self, story: Story, *, as_json: bool, live: Status | None) -> None:
        self._story = story
        self._as_json = as_json
        self._live = live

    def tell(self, event: ServerEvent) -> None:
        if self._as_json:
            write_result({"event": event.name, "data": event.data})
        elif event.name == "record":
            if (line := self._story.line(event.data)) is not None:
                stdout().print(line, soft_wrap=True)
        elif self._live is not None and (text := event.data.get("text")):
            self._live.update(f"{event.data['type']}: {literal(text)}")


class _Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


_NOTHING = _Nothing()


def replay_session(
    connection: Connection, session_id: str, *, speed: float, every: bool, as_json: bool
) -> None:
    """Print the session's records again: all at once, or in the time they took, times `speed`.

    Raises:
        Failure: there is no such session.
    """
    story = Story(every=every)

    def tell(record: RecordView) -> None:
        if as_json:
            write_result(record)
        elif (line := story.line(record)) is not None:
            stdout().print(line, soft_wrap=True)

    connection.ask(lambda plane: _replay(plane, session_id, tell, speed=speed))


async def _replay(
    plane: PlaneClient, session_id: str, tell: Callable[[RecordView], None], *, speed: float
) -> None:
    loop = asyncio.get_running_loop()
    began_at, first_at_ms = loop.time(), None
    async for line in plane.lines("session replay", f"{SESSIONS}/{segment(session_id)}/replay"):
        record = decoded("session replay", line.encode())
        if "at_ms" not in record:
            raise Failure(f"session replay failed: a line of {session_id} is no record", ExitCode.SERVER)
        if first_at_ms is None:
            first_at_ms = record["at_ms"]
        if speed > 0:
            due_at = began_at + (record["at_ms"] - first_at_ms) / 1e3 / speed
            await asyncio.sleep(due_at - loop.time())  # the pace is what was asked for
        tell(record)
    if first_at_ms is None:
        raise Failure(f"session {session_id} has no records")
