"""Tools that a session's caller runs over HTTP: on its list, approved, and under one key only once."""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from msgspec import json

from agentfield_journal import ContentStore
from agentfield_journal.envelope import Retention
from agentfield_rt.approvals import ApprovalSubject
from agentfield_rt.core.records import PolicyDenied
from agentfield_rt.errors import SessionClosed
from agentfield_rt.plane.errors import Busy, Conflict, NotAllowed
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.executions import Executions
from agentfield_rt.plane.notation import new_tool_call_id
from agentfield_rt.plane.runs import Runs
from agentfield_rt.run import Context
from agentfield_rt.voice.link import ExecutionRequest
from agentfield_rt.voice.session import VoiceSession

KEYS_MAX = 1_000
"""Calls with an `Idempotency-Key` in one session."""

REFUSALS_MAX = 100
"""Of one session that are journaled: whoever tries on fills no disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """What is asked for.

    Attributes:
        tool: By the name in the address: the model's, or `node.name`.
        target: `node.name`, where the body has one; it stands in for `tool`.
        key: Whoever asks again with it wants the first result, not another call.
    """

    tool: str
    target: str | None
    arguments: Mapping[str, Any]
    key: str | None = None

    @property
    def digest(self) -> bytes:
        """What one key may stand for."""
        return sha256(json.encode([self.tool, self.target, self.arguments], order="sorted")).digest()


@dataclass(frozen=True, slots=True)
class _Once:
    digest: bytes
    task: asyncio.Task[Execution]


class CallerTools:
    """The same gate as the model's own calls have: what was on the session's list when it started."""

    def __init__(self, runs: Runs, executions: Executions, content: ContentStore) -> None:
        self._runs = runs
        self._executions = executions
        self._content = content
        self._once: dict[str, dict[str, _Once]] = {}
        self._refusals: dict[str, int] = {}

    async def call(self, session: VoiceSession, call: ToolCall) -> Execution:
        """Run a tool; returns when it is accepted.

        Raises:
            SessionClosed: the session is over.
            NotAllowed: it is not on the list, or was not approved, for whose answer this waits.
            IllegalCommand: a rule of the session stops it.
            Conflict: the key stands for another call.
            Busy: too many run, or the session has had too many calls with a key.
        """
        if session.is_over:
            raise SessionClosed(f"session {session.session_id} is over; start a new one")
        wanted = await self._allowed(session, call)
        if call.key is None:
            return await self._run(session, wanted, call.arguments)
        return await self._run_once(session, wanted, call.key, call)

    def forget(self, session_id: str) -> None:
        """The session is over: nothing more runs in it, so nothing is repeated."""
        self._once.pop(session_id, None)
        self._refusals.pop(session_id, None)

    async def _allowed(self, session: VoiceSession, call: ToolCall) -> str:
        """The target, by exact match: no case, no space and no letter that only looks alike is forgiven."""
        tools = session.spec.tools
        wanted = call.target or tools.get(call.tool, call.tool)
        if wanted in tools.values():
            return wanted
        await self._record_refusal(session, wanted)
        names = ", ".join(sorted(tools.values())) or "none"
        raise NotAllowed(f"tool '{wanted}' is not allowed in this session; allowed: {names}")

    async def _record_refusal(self, session: VoiceSession, wanted: str) -> None:
        refused = self._refusals.get(session.session_id, 0)
        if refused >= REFUSALS_MAX:
            return
        self._refusals[session.session_id] = refused + 1
        ref = self._content.put(
            wanted.encode(errors="replace"), subject=session.session_id, retention=Retention.SESSION
        )
        run = await self._runs.hold(session.run_id)
        try:
            run.append([PolicyDenied(subject_ref=ref)], Context(session_id=session.session_id))
            await run.durable()
        finally:
            await self._runs.let_go(session.run_id)

    async def _run_once(self, session: VoiceSession, wanted: str, key: str, call: ToolCall) -> Execution:
        calls = self._once.setdefault(session.session_id, {})
        first = calls.get(key)
        if first is None:
            if len(calls) >= KEYS_MAX:
                raise Busy(
                    f"this session has had {KEYS_MAX} calls with an Idempotency-Key, which is the limit"
                )
            first = calls[key] = _Once(call.digest, _task(self._run(session, wanted, call.arguments), key))
            first.task.add_done_callback(lambda task: calls.pop(key, None) if _failed(task) else None)
        elif first.digest != call.digest:
            raise Conflict("this Idempotency-Key was used for another call; use a new one for each call")
        return await asyncio.shield(first.task)  # whoever leaves takes the call from nobody else

    async def _run(self, session: VoiceSession, target: str, arguments: Mapping[str, Any]) -> Execution:
        call_id = new_tool_call_id()
        arguments = await session.rules.arguments(call_id, arguments)
        if (rule := session.spec.approvals.get(target)) is not None:
            approval = await session.approvals.request(
                ApprovalSubject.TOOL, rule, op_id=call_id, detail=json.encode(arguments).decode()
            )
            if not approval.is_granted:
                raise NotAllowed(f"tool '{target}' was not approved: {approval.status}")
        return await self._executions.submit(
            ExecutionRequest(
                target=target, arguments=arguments, run_id=session.run_id, session_id=session.session_id
            )
        )


def _task(work: Coroutine[Any, Any, Execution], key: str) -> asyncio.Task[Execution]:
    return asyncio.create_task(work, name=f"tool call {key}")


def _failed(task: asyncio.Task[Execution]) -> bool:
    """Whether nothing ran, so that the same key may be tried again."""
    return task.cancelled() or task.exception() is not None
