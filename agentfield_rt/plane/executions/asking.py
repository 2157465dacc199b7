"""Executions that ask somebody outside and wait: the question durable before it is heard, one answer, told.

Their agents wait within their own process, so whoever answers has to be passed on until the agent took it.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agentfield_journal import ContentGone, JournalError, JournalUnavailable, QueuedContentStore
from agentfield_rt.core import records
from agentfield_rt.core.records import PauseAnswer
from agentfield_rt.plane.errors import BadRequest, Conflict, NotFound
from agentfield_rt.plane.executions.dispatch import NodeUnreachable, TakesAnswers
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.executions import Executions
from agentfield_rt.plane.executions.ledger import Ledger
from agentfield_rt.plane.executions.pause import Question
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.plane.nodes import Nodes

log = logging.getLogger(__name__)

TELL_AGAIN_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Pauses before an agent that did not take an answer is told again; the last one is repeated."""

AGAIN = "~again"
"""After the execution's id where an answer is told again: an agent that took it may wait for another by now,
and its SDK looks for what waits by the question, and where that is over by the execution, whatever it asks.
"""

_GOING_DOWN = "this server is going down; another one goes on with the execution"

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
        self._ledger = Ledger(content)
        self._asked: dict[str, Execution] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._telling = set[asyncio.Task[None]]()
        executions.on_finished(self._finished)

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
            ref = self._keep(execution, {"approval_request_url": url}) if url else None
            paused = records.ExecutionPaused(
                execution_id=execution_id,
                request_id=request_id,
                asked_ref=ref,
                expires_after_s=expires_after_s,
            )
            asked = self._pause(execution, paused)
        elif asked.request_id != request_id:
            raise Conflict(f"execution {execution_id} waits for approval request {asked.request_id} already")
        await self._durable(execution, asked.asked_ref)
        return asked

    def _pause(self, execution: Execution, paused: records.ExecutionPaused) -> Question:
        before = self._question(execution)
        self._note(execution, paused)
        if before is not None:
            self._forget(execution, before)
        asked = self._question(execution)
        assert asked is not None
        self._watch(execution, asked)
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
        is_first = asked.answer is None
        if is_first:
            ref = self._keep(execution, given.words) if given.words else None
            resumed = records.ExecutionResumed(
                execution_id=execution.execution_id, answer=given.answer, answer_ref=ref
            )
            self._note(execution, resumed)
            self._stop_timer(given.request_id)
            self._tell_soon(execution, asked)  # also if whoever answers does not wait any longer
        await self._durable(execution, asked.answer_ref)
        return execution, asked, is_first

    async def awaits(self, node_id: str, execution_id: str, *, waits: bool) -> None:
        """An agent says that an execution waits for one that it called and that waits, or does so no more.

        Raises:
            NotFound, Conflict: see `ask`.
            JournalError: it could not be made durable.
        """
        execution = self._running(node_id, execution_id)
        is_asking = execution.pauses is not None and execution.pauses.is_asking
        if waits != execution.is_waiting and not is_asking:
            record = records.ExecutionPaused if waits else records.ExecutionResumed
            self._note(execution, record(execution_id=execution_id))
        await self._durable(execution)

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
                self._tell_soon(execution, asked, tries=1)  # or more, nobody knows

    async def close(self) -> None:
        """Nobody is told any more; the next process goes on."""
        for request_id in list(self._timers):
            self._stop_timer(request_id)
        for task in self._telling:
            task.cancel()
        if self._telling:
            await asyncio.wait(self._telling)

    def _note(self, execution: Execution, record: records.ExecutionPaused | records.ExecutionResumed) -> None:
        """Record that it waits, or goes on.

        Raises:
            JournalError: it cannot be recorded; nothing changed.
        """
        if self._ledger.note(execution, record) is None:
            raise JournalUnavailable(_GOING_DOWN)
        execution.pause(record, at=self._now())

    async def _durable(self, execution: Execution, ref: str | None = None) -> None:
        """Return once all that was recorded of it is durable, whoever had it recorded, and the content `ref`.

        Raises:
            JournalError: it is not, or nobody knows.
        """
        run = execution.run
        if run is None:
            raise JournalUnavailable(_GOING_DOWN)
        await self._ledger.durable(run, run.head, ref)

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
        return self._ledger.keep(execution, msgspec.json.encode(words))

    def _watch(self, execution: Execution, asked: Question) -> None:
        self._asked[asked.request_id] = execution
        if asked.answer is None:
            self._expire_in(max(asked.expires_at - self._now(), 0.0), asked.request_id)

    def _expire_in(self, after_s: float, request_id: str) -> None:
        timer = asyncio.get_running_loop().call_later(after_s, self._expire_soon, request_id)
        self._timers[request_id] = timer

    def _expire_soon(self, request_id: str) -> None:
        self._run(self._expire(request_id), f"expire {request_id}")

    async def _expire(self, request_id: str) -> None:
        try:
            await self.answer(Answer(request_id=request_id, answer=PauseAnswer.EXPIRED))
        except NotFound:
            pass  # it has ended meanwhile
        except JournalError as error:
            log.error("an approval that expired is not recorded: %s", type(error).__name__)
            self._expire_in(TELL_AGAIN_S[-1], request_id)  # else its execution would wait for ever

    def _stop_timer(self, request_id: str) -> None:
        if (timer := self._timers.pop(request_id, None)) is not None:
            timer.cancel()

    def _finished(self, execution: Execution) -> None:
        if (asked := self._question(execution)) is not None:
            self._forget(execution, asked)

    def _forget(self, execution: Execution, asked: Question) -> None:
        if self._asked.get(asked.request_id) is execution:
            del self._asked[asked.request_id]
            self._stop_timer(asked.request_id)

    def _tell_soon(self, execution: Execution, asked: Question, *, tries: int = 0) -> None:
        self._run(self._tell(execution, asked, tries), f"answer {execution.execution_id}")

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, execution: Execution, asked: Question, tries: int) -> None:
        """Until the agent took it, or goes on without it."""
        while not execution.is_final and self._question(execution) is asked:
            try:
                await self._durable(execution, asked.answer_ref)
                await self._teller(execution).answer(await self._body(execution, asked, again=tries > 0))
            except (NodeUnreachable, BadRequest, JournalError) as error:
                log.info("%s is not told of an answer: %s", execution.execution_id, type(error).__name__)
                await asyncio.sleep(TELL_AGAIN_S[min(tries, len(TELL_AGAIN_S) - 1)])
                tries += 1
            else:
                return

    async def _body(self, execution: Execution, asked: Question, *, again: bool) -> bytes:
        words = await self.words(asked)
        words.pop("approval_request_url", None)
        told = {
            "execution_id": execution.execution_id + (AGAIN if again else ""),
            "approval_request_id": asked.request_id,
            "decision": asked.answer,
            "new_status": ExecutionStatus.RUNNING,
            "feedback": "",
        }
        return msgspec.json.encode(told | words)
