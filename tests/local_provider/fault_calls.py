"""A call that meets one fault, and what came of it: recorded, told, done twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection

from agentfield_adapters.local.running import LocalProvider
from agentfield_adapters.media.webrtc.receiving import take_packets
from agentfield_journal import open_journal
from agentfield_rt import RealtimeSessionController, Run
from agentfield_rt.audit import audit
from agentfield_rt.controller import Backoff, BoundarySettings
from agentfield_rt.core.lifecycle import CLOSES, Outcome
from agentfield_rt.core.records import Decision
from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError
from agentfield_rt.frames import (
    Notice,
    ProviderEvent,
    ResponseEnded,
    ResponseStatus,
    SpeechFrame,
    TextFrame,
    ToolCalled,
    ToolResultFrame,
)
from agentfield_rt.ports import ProviderAdapter, ProviderSettings, SessionConfig, ToolSpec
from tests.adapters.caller import SilentCaller
from tests.local_provider.fault_list import FACTORIES

TOLD_WITHIN_S = 25.0
"""A silent provider is noticed within ten seconds of this run's patience, and this machine may be slow."""
SENTENCE = "One two three four five six seven eight nine ten eleven."
QUESTION_ID, TOOL = "question", "look_up"
AGAIN, WAITS = "ask again", "waits"
CONFIG = SessionConfig(
    tools=(ToolSpec(name=TOOL, description="Finds a price.", parameters={"type": "object"}),)
)


@dataclass
class Case:
    """One fault, one adapter, one call; what came of it."""

    fault: str
    pair: str
    told: list[str] = field(default_factory=list[str])
    notices: list[str] = field(default_factory=list[str])
    recorded: str = ""
    goes_on: str = ""
    struck: bool = False
    twice: list[str] = field(default_factory=list[str])
    findings: list[str] = field(default_factory=list[str])
    open_operations: int = 0

    @property
    def transport(self) -> str:
        """What it is carried by."""
        return self.pair.partition("/")[2]

    @property
    def name(self) -> str:
        """In the provider's log."""
        return f"{self.pair}: {self.fault}"


class Caller(SilentCaller):
    """A caller that says nothing and decodes nothing: many calls at once leave the processor to the rest."""

    def __init__(self) -> None:
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))

    async def offer(self) -> str:
        audio = self._peer.addTransceiver("audio", direction="recvonly")
        take_packets(audio.receiver, lambda packet: None)
        self._peer.createDataChannel("oai-events")
        await self._peer.setLocalDescription(await self._peer.createOffer())
        return self._peer.localDescription.sdp


class Conversation:
    """A caller's side of one session, as a host drives it."""

    def __init__(self, case: Case, session: RealtimeSessionController) -> None:
        self._case = case
        self._session = session
        self._given: list[ProviderEvent] = []
        self._stalls = 0

    async def turn(self) -> None:
        """A typed turn, a tool call, its result, and the answer."""
        await self._session.send(TextFrame(QUESTION_ID, "please look up Coffee"))
        await self._session.send(SpeechFrame("speech-1", "utterance-1"))
        await self._until_ended()
        for called in [event for event in self._given if isinstance(event, ToolCalled)]:
            await self._session.send(ToolResultFrame(f"result-{called.call_id}", called.call_id, "3 euros"))
            await self._until_ended()

    async def say(self, number: int) -> None:
        """A sentence of ours, to its end."""
        speech = SpeechFrame(f"speech-{number}", f"utterance-{number}", text=SENTENCE)
        await self._session.send(speech)
        await self._until_ended()

    async def _until_ended(self) -> None:
        while True:
            for event in await self._session.receive(demand=1):
                self._given.append(event)
                if isinstance(event, Notice) and event.code is not None:
                    self._case.notices.append(event.code)
                if isinstance(event, ResponseEnded) and self._is_the_end(event.status):
                    return

    def _is_the_end(self, status: ResponseStatus) -> bool:
        """Whether the call goes on after this answer; a lost connection is told after it."""
        if status is ResponseStatus.COMPLETED:
            return True
        explained = (
            self._case.transport == "audio_turns" or self._case.notices.count("stalled") > self._stalls
        )
        if status is ResponseStatus.INCOMPLETE and not explained:
            return False
        self._stalls = self._case.notices.count("stalled")
        self._case.told.append(f"answer `{status}`")
        return True


async def play(case: Case, provider: LocalProvider) -> None:
    """Let one call meet one fault, and one sentence follow; if it may be asked again, ask again."""
    settings = ProviderSettings(base_url=provider.base_url(case.fault, name=case.name), api_key="any")
    async with open_journal("memory:") as journal:
        run = await Run.open(journal, "run-1")
        await _call(case, run, "session-1", FACTORIES[case.pair](settings))
        if case.goes_on == AGAIN:
            await _call(case, run, "session-2", FACTORIES[case.pair](settings))
        envelopes = await journal.read("run-1")
    case.findings = [str(finding.code) for finding in audit(envelopes).findings]
    case.recorded = recorded([envelope.kind for envelope in envelopes])
    # The log is asked for in another thread: this one keeps other calls alive.
    case.struck = await asyncio.to_thread(has_struck, provider, case)
    case.twice = await asyncio.to_thread(done_twice, provider, case)


async def _call(case: Case, run: Run, session_id: str, adapter: ProviderAdapter) -> None:
    caller = Caller()
    session = RealtimeSessionController(
        adapter,
        run,
        session_id=session_id,
        config=CONFIG,
        settings=BoundarySettings(backoff=lambda: Backoff(first_s=0.01)),
    )
    try:
        await _converse(case, session, caller)
    finally:
        with suppress(ProviderError):
            await session.close(CloseReason.NORMAL)
        await caller.hang_up()
    case.open_operations += len(session.state.open_operations)


async def _converse(case: Case, session: RealtimeSessionController, caller: Caller) -> None:
    asked_again = case.goes_on == AGAIN
    offer = await caller.offer() if case.pair.endswith("webrtc") else None
    try:
        async with asyncio.timeout(TOLD_WITHIN_S):
            connection = await session.connect(offer_sdp=offer)
    except ProviderError as error:
        case.told.append(described(error))
        case.goes_on = AGAIN if error.retryable and not asked_again else "no"
        return
    if connection.answer_sdp is not None:
        await caller.accept(connection.answer_sdp)
    talk = Conversation(case, session)
    try:
        async with asyncio.timeout(TOLD_WITHIN_S):
            await talk.turn()
            await talk.say(2)
        case.goes_on = "asked again" if asked_again else "yes"
    except TimeoutError:
        case.goes_on = WAITS
    except ProviderError as error:
        case.told.append(described(error))
        case.goes_on = await _after(error, session, talk)


async def _after(error: ProviderError, session: RealtimeSessionController, talk: Conversation) -> str:
    """Do what the error says may help, and say another sentence."""
    if not error.retryable:
        return "no"
    for op_id in tuple(session.state.unknown):
        session.reconcile(op_id, Decision.ABANDONED)
    is_lost = isinstance(error, ConnectionLost)
    try:
        async with asyncio.timeout(TOLD_WITHIN_S):
            if is_lost:
                await session.reconnect(error.reason)
            await talk.say(3)
    except (ProviderError, TimeoutError) as again:
        return f"no: {again!r}"
    return "reconnected" if is_lost else "asked again"


def described(error: ProviderError) -> str:
    """An error in the words of a table."""
    kind = "ConnectionLost" if isinstance(error, ConnectionLost) else "ProviderError"
    return f"`{kind}` {error.reason}{'' if error.retryable else ', for good'}"


def recorded(kinds: Sequence[str]) -> str:
    """The outcomes that were not done, or unknown, and the losses."""
    bad = {record.kind for record, (_, outcome) in CLOSES.items() if outcome is not Outcome.DONE}
    bad.add("realtime_connection_lost")
    found = [kind for kind in dict.fromkeys(kinds) if kind in bad]
    return ", ".join(f"`{kind.removeprefix('realtime_')}`" for kind in found)


def has_struck(provider: LocalProvider, case: Case) -> bool:
    """Whether the fault was met at all."""
    entries = provider.log(setup=case.name)
    return any("fault" in entry or entry.get("status", 0) >= 400 for entry in entries)


def done_twice(provider: LocalProvider, case: Case) -> list[str]:
    """What the provider was asked for more than once: items, outputs of one call, answers, calls."""
    asked: Counter[str] = Counter()
    for event in provider.received(setup=case.name):
        item: dict[str, Any] = event.get("item") or {}
        if "messages" in event:
            asked[f"completion of {event['messages']}"] += 1
        elif event.get("type") == "conversation.item.create":
            asked[f"item {item.get('id')}"] += 1
            asked[f"output of {item.get('call_id')}"] += item.get("type") == "function_call_output"
        elif event.get("type") == "response.create":
            asked[f"answer {event.get('response', {}).get('metadata')}"] += 1
    answers = provider.log(setup=case.name, where="calls")
    made = sum(answer.get("status") == 201 for answer in answers)
    asked["call"] = made - (made > 0 and len(case.told) > 1)  # a second session makes a second call
    return sorted(what for what, times in asked.items() if times > 1)
