"""What the parts of one connection share."""

from dataclasses import dataclass

from agentfield_adapters.event_buffer import EventBuffer
from agentfield_adapters.openrouter.client import ChatClient
from agentfield_adapters.openrouter.conversation import Conversation
from agentfield_adapters.openrouter.dialect import TurnsDialect
from agentfield_rt.ports import SessionConfig


@dataclass(frozen=True, slots=True)
class Line:
    """The way to a server, the way back to the runtime, and what both are about."""

    client: ChatClient
    buffer: EventBuffer
    conversation: Conversation
    config: SessionConfig
    dialect: TurnsDialect

    @property
    def hints(self) -> str | None:
        """What callers may say, as this server wants to be told."""
        return self.dialect.server.transcription_prompt(self.config)
