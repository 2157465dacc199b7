"""What a session is and may do, and what it shares with all others; decided before it starts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentfield_journal import ContentStore
from agentfield_rt.ports import Clock, SessionConfig, system_clock
from agentfield_rt.voice.link import Executor


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSpec:
    """What a session is and may do; frozen at its start.

    Attributes:
        tools: Targets the provider's model may call by itself, by the name it knows them under.
        apology: Said when the handler raised; None says nothing.
    """

    session_id: str
    target: str
    provider: str
    transport: str
    config: SessionConfig
    tools: Mapping[str, str] = field(default_factory=dict[str, str])
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    apology: str | None = None

    @property
    def silence_ms(self) -> int:
        """How long the provider waits before it says that the user stopped."""
        return int((self.config.turn_detection or {}).get("silence_duration_ms", 0))

    @property
    def provider_plays(self) -> bool:
        """Media flows browser ↔ provider, so the provider reports what the caller hears."""
        return self.transport == "webrtc" and "audio" in self.config.modalities


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionServices:
    """What every session of a process shares.

    Attributes:
        content: Keeps what was said; the journal gets references.
        executor: Runs reasoners for `call` and for the model's tool calls.
    """

    content: ContentStore
    executor: Executor
    clock: Clock = system_clock
