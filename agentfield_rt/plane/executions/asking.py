"""Executions that ask somebody outside and wait: the question durable before it is heard, one answer, told.

Their agents wait within their own process, so whoever answers has to be passed on until the agent took it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agentfield_journal import (
    ContentGone,
    Cursor,
    JournalError,
    JournalUnavailable,
    QueuedContentStore,
    Retention,
)
from agentfield_rt.core import records
from agentfield_rt.core.records import PauseAnswer
from agentfield_rt.plane.errors import BadRequest, Conflict, NotFound
from agentfield_rt.plane.executions.dispatch import NodeUnreachable, TakesAnswers
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.executions import Executions
from agentfield_rt.plane.executions.pause import Question
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.plane.nodes import Nodes
from agentfield_rt.run import Run

log = logging.getLogger(__name__)

TELL_AGAIN_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Pauses before an agent that did not take an answer is told again; the last one is repeated."""

Words = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What somebody answered.

    Attributes:
        words: `feedback` and `response`, as they came: content.
    """

    request_id: str
    answer: PauseAnswer
    words: Words = field(default_factory=Words)


class Asking:
    """Takes questions of executions that run, and answers to them."""

    def __init__(
        self, executions: Executions, nodes: Nodes, content: QueuedContentStore, *, now: Callable[[], float]
    ) -> None:
        self._executions = executions
        self._now = now
        self._nodes = nodes
        self._content = content
        self._asked: dict[str, Execution] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._telling = set[asyncio.Task[None]]()
        executions.on_finished(self._forget)

    async def ask(
        self, node_id: str, execution_id: str, *, request_id: str, url: str, expires_after_s: int
    ) -> Question:
        """Have an execution wait for an answer; it is durable when this returns. Asked again, it is the same.

        Raises:
            NotFound: the node has no such execution.
            Conflict: it does not run, asks something else, or another one asks under this id.
            BadRequest: its agent could not be told of an answer.
            JournalError: it could not be made durable.
        """
        execution = self._running(node_id, execution_id)
        self._teller(execution)
        asked = self._question(execution)
        if asked is None or asked.answer is not None:
            if self._asked.get(request_id, execution) is not execution:
                raise Conflict(f"another execution waits for approval request {request_id}")
            self._forget(execution)  # what it asked before
            ref = self._keep(execution, {"approval_request_url": url}) if url else None
            asked = await self._pause(execution, request_id, ref, expires_after_s)
        elif asked.request_id != request_id:
            raise Conflict(f"execution {execution_id} waits for approval request {asked.request_id} already")
        return asked

    async def _pause(
        self, execution: Execution, request_id: str, ref: str | None, expires_after_s: int
    ) -> Question:
        paused = records.ExecutionPaused(
            execution_id=execution.execution_id,
            request_id=request_id,
            asked_ref=ref,
            expires_after_s=expires_after_s,
        )
        durable = self._note(execution, paused, ref)
        asked = self._question(execution)
        assert asked is not None
        self._watch(execution, asked)
        await durable
        return asked

    async def answer(self, given: Answer) -> tuple[Execution, Question, bool]:
        """Answer, and have the agent told; durable when this returns. The first answer holds.

        Returns:
            The execution that asked, its question with the answer that holds, and whether this is that.

        Raises:
            NotFound: nobody asks under this id.
            JournalError: it could not be made durable.
        """
        execution = self._asked.get(given.request_id)
        asked = None if execution is None else self._question(execution)
        if execution is None or asked is None or execution.is_final:
            raise NotFound(f"no execution found for approval request {given.request_id}")
        if asked.answer is not None:
            return execution, asked, False
        ref = self._keep(execution, given.words) if given.words else None
        resumed = records.ExecutionResumed(
            execution_id=execution.execution_id, answer=given.answer, answer_ref=ref
        )
        durable = self._note(execution, resumed, ref)
        self._stop_timer(given.request_id)
        await durable
        self._tell_soon(execution)
        return execution, asked, True

    async def awaits(self, node_id: str, execution_id: str, *, waits: bool) -> None:
        """An agent says that an execution waits for one that it called and that waits, or does so no more.

        Raises:
            NotFound, Conflict: see `ask`.
            JournalError: it could not be made durable.
        """
        execution = self._running(node_id, execution_id)
        if waits == execution.is_waiting or (execution.pauses is not None and execution.pauses.is_asking):
            return
        record = (records.ExecutionPaused if waits else records.ExecutionResumed)(execution_id=execution_id)
        await self._note(execution, record)

    async def words(self, question: Question) -> Words:
        """What was asked and what was answered, in one; what was erased is left out.

        Raises:
            JournalError: the content store does not answer.
        """
        found = Words()
        for ref in (question.asked_ref, question.answer_ref):
            if ref is not None:
                try:
                    found |= msgspec.json.decode(await self._content.get(ref), type=Words)
                except ContentGone:
                    log.info("the words of an approval are gone")
        return found

    def recover(self) -> None:
        """Go on with what an earlier process left: questions stand, last answers are told again."""
        for execution in self._executions.open():
            asked = self._question(execution)
            if asked is None:
                continue
            self._watch(execution, asked)
            if asked.answer is not None:
                self._tell_soon(execution)

    async def close(self) -> None:
        """Nobody is told any more; the next process goes on."""
        for request_id in list(self._timers):
            self._stop_timer(request_id)
        for task in self._telling:
            task.cancel()
        if self._telling:
            await asyncio.wait(self._telling)

    def _note(
        self,
        execution: Execution,
        record: records.ExecutionPaused | records.ExecutionResumed,
        ref: str | None = None,
    ) -> Awaitable[None]:
        """Record that it waits, or goes on; what is returned waits until that is durable.

        Raises:
            JournalError: it cannot be recorded; nothing changed.
        """
        run = execution.run
        if run is None:
            raise JournalUnavailable("this server is going down; another one goes on with the execution")
        cursor = run.append([record], execution.context)
        execution.pause(record, at=self._now())
        return self._durable(run, cursor, ref)

    async def _durable(self, run: Run, cursor: Cursor, ref: str | None) -> None:
        await run.durable(cursor)
        if ref is not None:
            await self._content.durable(ref)

    def _running(self, node_id: str, execution_id: str) -> Execution:
        execution = self._executions.in_memory(execution_id)
        if execution is None or execution.node_id != node_id:
            raise NotFound(f"execution {execution_id} not found")
        if execution.status is not ExecutionStatus.RUNNING:
            raise Conflict(f"execution {execution_id} is {execution.status}; only one that runs can wait")
        return execution

    def _teller(self, execution: Execution) -> TakesAnswers:
        node = self._nodes.find(execution.node_id)
        if node is None or not isinstance(node.dispatcher, TakesAnswers):
            raise BadRequest(f"agent '{execution.node_id}' could not be told of an answer: it has no address")
        return node.dispatcher

    def _question(self, execution: Execution) -> Question | None:
        return None if execution.pauses is None else execution.pauses.question

    def _keep(self, execution: Execution, words: Words) -> str:
        subject = execution.session_id or execution.target
        return self._content.put(msgspec.json.encode(words), subject=subject, retention=Retention.SESSION)

    def _watch(self, execution: Execution, asked: Question) -> None:
        self._asked[asked.request_id] = execution
        if asked.answer is None:
            left_s = max(asked.expires_at - self._now(), 0.0)
            expire = asyncio.get_running_loop().call_later(left_s, self._expire, asked.request_id)
            self._timers[asked.request_id] = expire

    def _expire(self, request_id: str) -> None:
        expired = Answer(request_id=request_id, answer=PauseAnswer.EXPIRED)
        self._run(self._expired(expired), f"expire {request_id}")

    async def _expired(self, expired: Answer) -> None:
        try:
            await self.answer(expired)
        except JournalError as error:
            log.error("an approval that expired is not recorded: %s", type(error).__name__)

    def _stop_timer(self, request_id: str) -> None:
        if (timer := self._timers.pop(request_id, None)) is not None:
            timer.cancel()

    def _forget(self, execution: Execution) -> None:
        asked = self._question(execution)
        if asked is not None and self._asked.get(asked.request_id) is execution:
            del self._asked[asked.request_id]
            self._stop_timer(asked.request_id)

    def _tell_soon(self, execution: Execution) -> None:
        self._run(self._tell(execution), f"answer {execution.execution_id}")

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, execution: Execution) -> None:
        """Until the agent took it: it waits for nothing else."""
        asked = self._question(execution)
        assert asked is not None and asked.answer is not None
        tries = 0
        while not execution.is_final and self._question(execution) is asked:
            try:
                await self._teller(execution).answer(await self._body(execution, asked))
            except (NodeUnreachable, BadRequest, JournalError) as error:
                log.info("%s is not told of an answer: %s", execution.execution_id, type(error).__name__)
                await asyncio.sleep(TELL_AGAIN_S[min(tries, len(TELL_AGAIN_S) - 1)])
                tries += 1
            else:
                return

    async def _body(self, execution: Execution, asked: Question) -> bytes:
        words = await self.words(asked)
        words.pop("approval_request_url", None)
        told = {
            "execution_id": execution.execution_id,
            "approval_request_id": asked.request_id,
            "decision": asked.answer,
            "new_status": ExecutionStatus.RUNNING,
            "feedback": "",
        }
        return msgspec.json.encode(told | words)
