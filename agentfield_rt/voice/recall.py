"""What a handler can know of its session when it begins anew: what was said, and what it kept itself."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from agentfield_journal import ContentGone, ContentStore
from agentfield_rt.core.records import Record
from agentfield_rt.core.records.handler import HandlerStateKept
from agentfield_rt.errors import IllegalCommand
from agentfield_rt.history import SpokenSoFar
from agentfield_rt.items import AssistantItem, UserItem
from agentfield_rt.voice.link import Spoken

STATE_BYTES_MAX = 64 * 1024
"""A session's state as JSON."""

_ENCODER = msgspec.json.Encoder(order="sorted")


class Recall:
    """The memory of one session, for its handler. A fold of its records: it survives the handler's process.

    Args:
        record: Writes a record of the session.
        keep: Puts text into the content store and returns its reference.
        spoken: What was said so far.
    """

    __slots__ = ("_keep", "_kept", "_record", "_spoken")

    def __init__(
        self, record: Callable[[Record], None], keep: Callable[[str], str], spoken: SpokenSoFar
    ) -> None:
        self._record = record
        self._keep = keep
        self._spoken = spoken
        self._kept = b"{}"

    @property
    def state(self) -> dict[str, Any]:
        """A copy of what was kept last."""
        state: dict[str, Any] = msgspec.json.decode(self._kept)
        return state

    def keep(self, state: Mapping[str, Any]) -> None:
        """Remember `state` in place of what was kept before; the same again is not written down again.

        Raises:
            IllegalCommand: it is no JSON object, or a too large one; nothing was kept.
            JournalError: it could not be written down.
        """
        encoded = encode_state(state)
        if encoded != self._kept:
            self._record(HandlerStateKept(state_ref=self._keep(encoded.decode())))
            self._kept = encoded

    async def history(self) -> tuple[Spoken, ...]:
        """What was said until now, oldest first, and of the agent what was heard."""
        said: list[Spoken] = []
        for item in self._spoken.history(pending=(), answers_turns=False).items:
            if isinstance(item, UserItem):
                said.append(Spoken("user", item.item_id, item.text))
            elif isinstance(item, AssistantItem):
                said.append(Spoken("assistant", item.item_id, item.text))
        return tuple(said)

    async def go_on(self, history: Iterable[Record], content: ContentStore) -> None:
        """Begin with what was said and kept in a process that died; of what was erased nothing is left."""
        history = tuple(history)
        await self._spoken.go_on(history, content)
        for record in history:
            if isinstance(record, HandlerStateKept):
                try:
                    self._kept = await content.get(record.state_ref)
                except ContentGone:
                    self._kept = b"{}"


def encode_state(state: Mapping[str, Any]) -> bytes:
    """A session's state as it is kept: JSON, always the same for the same state.

    Raises:
        IllegalCommand: it has no JSON form, or is too large.
    """
    try:
        encoded = _ENCODER.encode(state)
    except (TypeError, ValueError, RecursionError) as error:
        raise IllegalCommand(f"session.state holds what JSON cannot: {type(error).__name__}") from error
    if len(encoded) > STATE_BYTES_MAX:
        raise IllegalCommand(f"session.state takes {len(encoded)} bytes; {STATE_BYTES_MAX} may be kept")
    return encoded
