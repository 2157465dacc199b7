"""What was said so far, with its words: what a new provider connection is told of it.

A fold of the session's records (`core.conversation`) and the content that they refer to, and nothing else.
Knows no provider and no wire.
"""

from collections.abc import Container, Iterable, Mapping, Sequence

import msgspec

from agentfield_journal import ContentGone, ContentStore
from agentfield_rt.core.conversation import By, Conversation, Owed, Said, conversation_of, follow
from agentfield_rt.core.records import Record
from agentfield_rt.idle import Signal
from agentfield_rt.items import (
    AssistantItem,
    ConversationItem,
    History,
    NoteItem,
    ToolCallItem,
    ToolOutputItem,
    UserItem,
    output_item_id,
)

HISTORY_BYTES_MAX = 256 * 1024
"""UTF-8 of all that a new connection is told. The newest item is told in any case."""

KEPT_MAX = 16
"""Texts that were put into the content store and stand in no record yet."""

CANCELLED = '{"error": "this call was cancelled before it returned"}'
"""What the model is told of a call that will never return."""

GO_ON = (
    "The connection to the caller broke off for a moment. Of your last message the caller heard exactly what "
    "stands there. Go on from there, and repeat nothing of it."
)


class _Call(msgspec.Struct, frozen=True):
    """The content of a tool call."""

    name: str
    arguments: str


def call_content(name: str, arguments: str) -> str:
    """A tool call as the content store keeps it (`records.ToolCallReceived`)."""
    return msgspec.json.encode(_Call(name, arguments)).decode()


def history_of(
    conversation: Conversation,
    texts: Mapping[str, str],
    *,
    pending: Container[str] = (),
    answers_turns: bool = False,
) -> History:
    """What a new connection is told of a conversation.

    Args:
        texts: The content of each reference; an item without is left out.
        pending: Calls of tools that will still return. A call that will not gets an output that says so.
        answers_turns: The model answers what the user says by itself.
    """
    told, total = _newest(conversation.said, texts), len(conversation.said) + conversation.forgotten
    calls = {said.key for said in told if said.by is By.CALL}
    told = [said for said in told if said.by is not By.OUTPUT or said.key in calls]
    returned = {said.key for said in told if said.by is By.OUTPUT}
    waits = any(call_id in pending for call_id in calls - returned)
    items: list[ConversationItem] = []
    for said in told:
        items.append(_item(said, texts[said.ref]))
        if said.by is By.CALL and said.key not in returned and said.key not in pending:
            items.append(ToolOutputItem(output_item_id(said.key), said.key, CANCELLED))
    owed = not waits and bool(told) and _is_owed(conversation.owed, told[-1], answers_turns=answers_turns)
    if owed and conversation.owed is Owed.REST:
        items.append(NoteItem(f"note_{told[-1].key}", GO_ON))
    return History(items=tuple(items), left_out=total - len(told), answer_owed=owed)


def _newest(said: Sequence[Said], texts: Mapping[str, str]) -> list[Said]:
    """As much of what was said last as may be told, oldest first."""
    newest: list[Said] = []
    room_bytes = HISTORY_BYTES_MAX
    for each in reversed(said):
        if (text := texts.get(each.ref)) is None:
            continue
        room_bytes -= len(text.encode())
        if room_bytes < 0 and newest:
            break
        newest.append(each)
    return newest[::-1]


def _is_owed(owed: Owed | None, last: Said, *, answers_turns: bool) -> bool:
    match owed:
        case Owed.TURN:
            return answers_turns
        case None:
            return last.by is By.CALL  # it never returned: the model goes on without
        case Owed.OUTPUT | Owed.REST:
            return True


def _item(said: Said, text: str) -> ConversationItem:
    match said.by:
        case By.USER:
            return UserItem(said.key, text)
        case By.ASSISTANT:
            return AssistantItem(said.key, text)
        case By.CALL:
            call = msgspec.json.decode(text, type=_Call)
            return ToolCallItem(f"call_{said.key}", said.key, call.name, call.arguments)
        case By.OUTPUT:
            return ToolOutputItem(output_item_id(said.key), said.key, text)


async def read_history(
    records: Iterable[Record], content: ContentStore, *, answers_turns: bool = False
) -> History:
    """What a session that another process left had said, from its records and its content alone.

    No call of a tool returns any more: whoever ran it is gone.
    """
    conversation = conversation_of(records)
    texts = await _read(conversation, content)
    return history_of(conversation, texts, answers_turns=answers_turns)


async def _read(conversation: Conversation, content: ContentStore) -> dict[str, str]:
    texts: dict[str, str] = {}
    for said in conversation.said:
        try:
            texts[said.ref] = (await content.get(said.ref)).decode()
        except ContentGone:
            continue  # it was erased, or never reached the disk
    return texts


class SpokenSoFar:
    """The conversation of a live session, from its records as they are written.

    It remembers the words as well, so that a lost connection waits for no store.

    Attributes:
        changed: Set by each record that changes it; whoever waits for one clears it.
    """

    def __init__(self) -> None:
        self.changed = Signal()
        self._conversation = Conversation()
        self._texts: dict[str, str] = {}
        self._kept: dict[str, str] = {}

    @property
    def conversation(self) -> Conversation:
        """The fold of the records so far."""
        return self._conversation

    async def go_on(self, records: Iterable[Record], content: ContentStore) -> None:
        """Begin with what a process that died has written."""
        self._conversation = conversation_of(records)
        self._texts = await _read(self._conversation, content)

    def keep(self, ref: str, text: str) -> None:
        """`text` was put into the content store as `ref`; some record may say of what."""
        self._kept[ref] = text
        if len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]

    def follow(self, record: Record) -> None:
        """A record of this session was written."""
        before, self._conversation = self._conversation, follow(self._conversation, record)
        if self._conversation is not before:
            self.changed.set()
        if self._conversation.said is not before.said:
            known = {**self._texts, **self._kept}
            self._texts = {said.ref: known[said.ref] for said in self._conversation.said if said.ref in known}

    def history(self, *, pending: Container[str], answers_turns: bool) -> History:
        """What a new connection is told now; see `history_of`."""
        return history_of(self._conversation, self._texts, pending=pending, answers_turns=answers_turns)
