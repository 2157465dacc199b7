"""What the parts of one conversation share: the session as it stands, the items, the way out."""

from __future__ import annotations

from dataclasses import dataclass

from agentfield_adapters.local.conversation.history import History
from agentfield_adapters.local.event_stream import EventStream
from agentfield_adapters.local.ids import Ids
from agentfield_adapters.local.protocol.session import Session


@dataclass(slots=True)
class Scene:
    """One conversation's shared state; only the conversation itself replaces `session`."""

    session: Session
    conversation_id: str
    stream: EventStream
    ids: Ids
    history: History
