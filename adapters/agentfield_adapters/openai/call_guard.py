"""What was agreed for a call, and what the other end changes of it. Pure, no socket.

A browser is the provider's peer as much as we are: over its data channel it may change the session, and put
words and outputs of tools into the conversation (OpenAI Realtime: `oai-events`). The provider refuses none of
it and tells everybody, so what was changed can be put back and told.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

from agentfield_adapters.openai import server_events as server
from agentfield_rt.errors import ConnectionLost, Reason
from agentfield_rt.idle import Recent

WATCHED = (
    "instructions",
    "prompt",
    "tools",
    "tool_choice",
    "output_modalities",
    "audio.input.format",
    "audio.input.transcription",
    "audio.input.turn_detection",
    "audio.output.format",
    "audio.output.voice",
)
"""The fields of a session that are ours to decide; the rest changes nothing of what is said or done."""

ITEMS_MAX = 4_096
"""Items of ours that are remembered; the provider tells of one right after it got it."""
FOREIGN_ITEMS_TOLD_MAX = 64
"""Items of others that are told, of one call. They are counted by name, as every event is, in any case."""

_MADE_BY_CLIENTS = frozenset({"function_call_output", "mcp_approval_response"})


class CallGuard:
    """Guards one call, over all its sidebands.

    Args:
        wanted: The session object as it was sent to the provider.

    Attributes:
        is_restoring: Somebody changed the session, and `restoration` has not been confirmed yet.
    """

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        self._wanted = wanted
        self._agreed: dict[str, Any] | None = None
        self._ours = Recent(ITEMS_MAX)
        self._was_changed = False
        self._foreign_told = 0
        self._changed: tuple[str, ...] = ()
        self.is_restoring = False

    def made(self, item_id: str) -> None:
        """This item is ours."""
        self._ours.add(item_id)

    def notice(self, event: server.ReadEvent | server.Unread) -> tuple[str, ...]:
        """What somebody else did to the call by `event`; nothing most of the time.

        The provider's first report is what was agreed: it fills in what was left to it.

        Raises:
            ConnectionLost: the session was changed again after it had been put back.
        """
        match event:
            case server.SessionUpdated(session=session):
                return self._updated(session)
            case server.ItemAdded(item=item):
                return self._added(item)
            case _:
                return ()

    @property
    def restoration(self) -> dict[str, Any]:
        """The session object that puts everything back: ours, and what the provider had filled in."""
        assert self._agreed is not None
        session = deepcopy(dict(self._wanted))
        for path in self._changed:
            if _value(session, path) is None:
                _put(session, path, self._agreed[path])
        return session

    def _updated(self, session: Mapping[str, Any]) -> tuple[str, ...]:
        seen = {path: _value(session, path) for path in WATCHED}
        if self._agreed is None:
            self._agreed = seen
            return ()
        changed = tuple(path for path in WATCHED if seen[path] != self._agreed[path])
        if not changed:
            self.is_restoring = False
            return ()
        if self.is_restoring:  # ours is on its way
            return ()
        if self._was_changed:
            raise tampered("the other end of the call changed the session again")
        self._was_changed = self.is_restoring = True
        self._changed = changed
        return changed

    def _added(self, item: server.AddedItem) -> tuple[str, ...]:
        if item.id in self._ours or not _is_made_by_a_client(item):
            return ()
        self._foreign_told += 1
        return (f"item.{item.kind}",) if self._foreign_told <= FOREIGN_ITEMS_TOLD_MAX else ()


def tampered(message: str) -> ConnectionLost:
    """The end of a call that somebody keeps changing."""
    return ConnectionLost(message, reason=Reason.TAMPERED, retryable=False)


def _is_made_by_a_client(item: server.AddedItem) -> bool:
    """Whether no provider makes such an item: its own begin empty, and what users say is audio."""
    if item.type in _MADE_BY_CLIENTS:
        return True
    if item.type == "function_call":
        return bool(item.arguments)
    if item.type != "message":
        return False
    if item.role == "user":
        return any(part.type != "input_audio" for part in item.content or ())
    return item.role == "system" or bool(item.content)


def _value(session: Mapping[str, Any], path: str) -> Any:
    """None where the provider says nothing."""
    value: Any = session
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = cast(Mapping[str, Any], value).get(name)
    return value


def _put(session: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        session = session.setdefault(parent, {})
    session[name] = value
