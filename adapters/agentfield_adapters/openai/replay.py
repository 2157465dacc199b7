"""Tells a new connection what was said before, item by item (OpenAI Realtime: `conversation.item.create`).

A provider session cannot be resumed: a new socket is an empty conversation. Answers come back as the text
that was heard; their sound is gone, and so is that they could be cut.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from agentfield_adapters.openai import client_events as client
from agentfield_adapters.openai.connection import LiveConnection
from agentfield_adapters.openai.requests import without_id
from agentfield_rt.errors import ProviderError
from agentfield_rt.items import (
    AssistantItem,
    ConversationItem,
    History,
    NoteItem,
    ToolCallItem,
    ToolOutputItem,
    UserItem,
)

REPEATED = "item_already_exists"
"""The code of the error that says that an item is there: what was wanted is so."""


def item_event(item: ConversationItem, event_id: str) -> client.ItemCreate:
    """The event that adds `item` at the end of the conversation."""
    item_id = client.item_id_for(item.item_id)
    created: client.NewItem
    match item:
        case UserItem(text=text):
            created = client.UserMessage(id=item_id, content=(client.InputText(text),))
        case AssistantItem(text=text):
            created = client.AssistantMessage(id=item_id, content=(client.OutputText(text),))
        case NoteItem(text=text):
            created = client.SystemMessage(id=item_id, content=(client.InputText(text),))
        case ToolCallItem(call_id=call_id, name=name, arguments=arguments):
            created = client.FunctionCall(id=item_id, call_id=call_id, name=name, arguments=arguments)
        case ToolOutputItem(call_id=call_id, output=output):
            created = client.FunctionCallOutput(id=item_id, call_id=call_id, output=output)
    return client.ItemCreate(event_id=event_id, item=created)


def item_events(
    history: History, event_id: Callable[[], str], *, keeps_item_ids: bool = True
) -> list[client.ItemCreate]:
    """The events that rebuild a conversation, in order."""
    creates = [item_event(item, event_id()) for item in history.items]
    return creates if keeps_item_ids else [without_id(create) for create in creates]


async def restore(live: LiveConnection, history: History, session: dict[str, Any]) -> int:
    """Tell a connection, configured so that it answers nothing by itself, what was said; then let it answer.

    All events go out at once. The provider takes them in order, so that it has taken, or refused, every item
    once it has taken the configuration that comes behind them.

    Returns:
        How many items the provider has now.

    Raises:
        ProviderError: the provider did not take the session's configuration.
        ConnectionLost: the connection is gone.
    """
    conversation = live.conversation
    creates = item_events(history, conversation.event_id, keeps_item_ids=conversation.dialect.keeps_item_ids)
    with ExitStack() as expected:
        answers = [expected.enter_context(live.expect(create)) for create in creates]
        for create in creates:
            await live.create(create)
        await live.reconfigure(session)
        try:
            restored = sum(not answer.done() or answer.result() == REPEATED for answer in answers)
        except ProviderError:  # the connection ended with the last of them
            live.require_open()
            raise
    conversation.restore(history)
    if history.answer_owed:
        await live.go_on()
    return restored
