"""A voice call on a stage: a session over the scripted adapter, a caller who listens, an honest end."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from agentfield_adapters.scripted import Answer, ScriptedAdapter
from agentfield_journal import QueuedContentStore, StoreJournal, verify
from agentfield_journal.content.store import MemoryContent
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.agent import RealtimeSession
from agentfield_rt.approval_rules import ApprovalRule
from agentfield_rt.controller import BoundarySettings, RealtimeSessionController
from agentfield_rt.core import records
from agentfield_rt.core.evolve import replay
from agentfield_rt.core.lifecycle import CLOSES, FEATURE_OPERATIONS, OPENERS
from agentfield_rt.core.records import Record
from agentfield_rt.core.rules.rule import Rule
from agentfield_rt.frames import (
    InputTranscript,
    PlaybackStopped,
    SpeechStarted,
    SpeechStopped,
)
from agentfield_rt.ports import SessionConfig
from agentfield_rt.run import Run, decode, realtime_records
from agentfield_rt.testing.scene import Desk, Function, Listener, plays_at_the_provider, speaks, speech
from agentfield_rt.voice.link import SessionLink
from agentfield_rt.voice.session import VoiceSession
from agentfield_rt.voice.spec import SessionServices, SessionSpec

__all__ = [
    "RUN_ID",
    "SESSION_ID",
    "Desk",
    "Function",
    "Listener",
    "VoiceCall",
    "handler_of",
    "plays_at_the_provider",
    "speaks",
    "speech",
    "voice_call",
]

SESSION_ID = "sess_voice_0001"
RUN_ID = "run_voice_0001"

OUTCOMES = frozenset(CLOSES).union(*FEATURE_OPERATIONS.values())


@dataclass
class VoiceCall:
    """A running call."""

    session: VoiceSession
    adapter: ScriptedAdapter
    journal: StoreJournal
    content: QueuedContentStore
    listener: Listener
    desk: Desk
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    async def settle(self) -> None:
        """Let everything happen that waits for nothing but its turn."""
        for _ in range(200):
            await asyncio.sleep(0)

    async def user_says(self, text: str) -> None:
        """The user speaks a whole turn."""
        await self.user_starts()
        await self.user_stops(text)

    async def user_starts(self) -> None:
        self.adapter.give(SpeechStarted("item_user"))
        await self.settle()

    async def user_stops(self, text: str) -> None:
        self.adapter.give(SpeechStopped("item_user"), InputTranscript("item_user", text, final=True))
        await self.settle()

    async def playback_ends(self, *, cleared: bool = False) -> None:
        """Over WebRTC the provider reports that the caller hears no more of the last response."""
        started = [call for call in self.adapter.calls if call.method == "send" and call.acted]
        self.adapter.give(PlaybackStopped(f"resp_{len(started)}", cleared=cleared))
        await self.settle()

    async def records(self) -> list[Record]:
        await self.session._run.durable()  # pyright: ignore[reportPrivateUsage]
        return [decode(envelope) for envelope in await self.journal.read(RUN_ID)]

    async def of_kind(self, *record_types: type[Record]) -> list[Any]:
        return [record for record in await self.records() if isinstance(record, record_types)]

    async def story(self) -> list[str]:
        """The kinds of the conversation's own records, without the provider boundary."""
        kinds = [record.kind for record in await self.records()]
        return [kind for kind in kinds if not kind.startswith("realtime_")]

    async def text_of(self, ref: str | None) -> str:
        assert ref is not None
        return (await self.content.get(ref)).decode()


def handler_of(function: Function | None) -> Any:
    """`function` as the session runs it."""
    if function is None:
        return None

    async def handle(link: SessionLink) -> None:
        await function(RealtimeSession(link))

    return handle


@asynccontextmanager
async def voice_call(
    function: Function | None = None,
    *,
    transport: str = "websocket",
    answer: Answer | None = None,
    tools: Mapping[str, str] | None = None,
    approvals: Iterable[ApprovalRule] = (),
    desk: Desk | None = None,
    apology: str | None = None,
    connect: bool = True,
    listens: bool = True,
    listener: Any = None,
    settings: BoundarySettings | None = None,
    config: SessionConfig | None = None,
    stream_rules: Sequence[Rule] = (),
    beside_others: bool = False,
) -> AsyncGenerator[VoiceCall]:
    """A call from its first record to its last; afterwards nothing of it may be left anywhere.

    Args:
        beside_others: Other tasks come and go meanwhile, so whose are left cannot be told.
    """
    before = None if beside_others else asyncio.all_tasks()
    journal, content = StoreJournal(MemoryStore()), QueuedContentStore(MemoryContent())
    adapter, desk = ScriptedAdapter(answer=answer or speaks()), desk or Desk()
    run = await Run.open(journal, RUN_ID)
    spec = SessionSpec(
        session_id=SESSION_ID,
        target="node.voice",
        provider="local",
        transport=transport,
        config=config or SessionConfig(turn_detection={"type": "server_vad", "silence_duration_ms": 320}),
        tools=tools or {},
        approvals={rule.target: rule for rule in approvals},
        stream_rules=tuple(stream_rules),
        apology=apology,
    )
    session = VoiceSession(
        spec,
        run,
        controller=RealtimeSessionController(adapter, run, session_id=SESSION_ID, settings=settings),
        services=SessionServices(content=content, executor=desk),
        handler=handler_of(function),
    )
    session.start()
    call = VoiceCall(session, adapter, journal, content, listener or Listener(), desk)
    try:
        if connect:
            await session.connect(caller=call.listener if listens and transport == "websocket" else None)
            await call.settle()
        yield call
        await session.close()
        await session.ended()
        await _check_the_end(call)
        assert before is None or asyncio.all_tasks() == before, "tasks of the session are left"
    finally:
        await journal.close()
        await content.close()


async def _check_the_end(call: VoiceCall) -> None:
    history = await call.records()
    assert isinstance(history[-1], records.SessionEnded | records.RunFailed), "the record is sealed last"
    opened = [_op_id(record) for record in history if type(record) in OPENERS]
    closed = [_op_id(record) for record in history if type(record) in OUTCOMES]
    assert sorted(opened) == sorted(closed), "an opener has not exactly one outcome"
    state = replay(SESSION_ID, realtime_records(await call.journal.read(RUN_ID), SESSION_ID))
    assert not state.open_operations
    assert not state.unknown
    assert not state.gated
    assert (await verify(call.journal, run_id=RUN_ID)).sound


def _op_id(record: Any) -> str:
    return str(record.op_id)
