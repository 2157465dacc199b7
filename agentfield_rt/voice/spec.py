"""What a session is and may do, and what it shares with all others; decided before it starts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentfield_journal import ContentStore
from agentfield_rt.approval_rules import ApprovalRule
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.core.rules.rule import Rule
from agentfield_rt.ports import Clock, SessionConfig, system_clock
from agentfield_rt.recording import Recordings
from agentfield_rt.voice.link import Executor
from agentfield_rt.voice.turns import ANSWER_WITHIN_S


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSpec:
    """What a session is and may do; frozen at its start.

    Attributes:
        tools: Targets the provider's model may call by itself, by the name it knows them under.
        approvals: How those of them that need an approval get it, by target.
        stream_rules: What to watch for in text, and what to do about it.
        recorded: Both sides are recorded, and the caller was told so.
        apology: Said when the handler raised, or said nothing for too long; None says nothing.
        answer_within_s: A handler that has said nothing to a turn by then hangs: the turn fails.
        owner: The API key it is started with, by its name; None where there are no keys, or nobody asked.
        incoming_call_id: The phone call that rings at the provider, and that this session answers.
        history: Its records so far, where it goes on after a crash (`VoiceSession.go_on`).
    """

    session_id: str
    target: str
    provider: str
    transport: str
    config: SessionConfig
    tools: Mapping[str, str] = field(default_factory=dict[str, str])
    approvals: Mapping[str, ApprovalRule] = field(default_factory=dict[str, ApprovalRule])
    stream_rules: tuple[Rule, ...] = ()
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    recorded: bool = False
    apology: str | None = None
    answer_within_s: float = ANSWER_WITHIN_S
    history: tuple[Record, ...] = ()
    incoming_call_id: str | None = None
    owner: str | None = None

    def record(self) -> records.SessionStarted:
        """The session's first record."""
        return records.SessionStarted(
            target=self.target,
            provider=self.provider,
            transport=self.transport,
            model=self.config.model,
            voice=self.config.voice,
            modalities=self.config.modalities,
            tools=tuple(sorted(self.tools.values())),
            tags=self.tags,
            approvals=tuple(sorted(self.approvals)),
            owner=self.owner,
        )

    @property
    def silence_ms(self) -> int:
        """How long the provider waits before it says that the user stopped."""
        detection = self.config.turn_detection
        if detection is None or detection["type"] != "server_vad":
            return 0
        return detection.get("silence_duration_ms", 0)

    @property
    def rings(self) -> bool:
        """It begins with a telephone that rings at the provider."""
        return self.incoming_call_id is not None

    @property
    def carries_audio(self) -> bool:
        """Media flows through this process, not browser ↔ provider."""
        return self.transport != "webrtc"

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
        recordings: Makes recordings of the sessions that are to have one.
    """

    content: ContentStore
    executor: Executor
    recordings: Recordings | None = None
    clock: Clock = system_clock
