"""Executions run again: alone or from where their workflow began, with the results that are there already.

Which results are ready is known to this process only: after its end the rest of such a run is done anew.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any

from agentfield_journal import ContentGone
from agentfield_rt.plane.errors import BadRequest, Conflict
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.ledger import Ledger, encode_arguments
from agentfield_rt.plane.executions.past import Past
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.plane.notation import new_run_id
from agentfield_rt.voice.link import ExecutionRequest

READY_MAX = 256
"""Runs for which results are held ready; for the oldest of more, everything is done anew."""

REUSED_MAX = 1_000
"""Results that are held ready for one run: those of the first executions."""

_CALLERS_MAX = 1_000
"""How far up it is looked for where a workflow began."""

_Call = tuple[str, bytes]
"""What was called, and the digest of what it was given."""


class Scope(StrEnum):
    """What is run again; AgentField's words."""

    WORKFLOW = "workflow"
    EXECUTION = "execution"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """How an execution is run again.

    Attributes:
        scope: The execution that the workflow began with, or none but the one that is named.
        reuses: A call with the target and the input of one that had succeeded is answered with its result.
        arguments: In the place of those it had.
    """

    scope: Scope = Scope.WORKFLOW
    reuses: bool = True
    arguments: dict[str, Any] | None = None


RESTART = Restart()
"""As AgentField does unless it is told otherwise."""


class Restarts:
    """Prepares restarts and holds their results ready until they have ended."""

    def __init__(self, ledger: Ledger, past: Past) -> None:
        self._ledger = ledger
        self._past = past
        self._ready: dict[str, dict[_Call, deque[Execution]]] = {}

    def __bool__(self) -> bool:
        """Whether any result is ready."""
        return bool(self._ready)

    async def prepare(self, execution: Execution, restart: Restart) -> tuple[ExecutionRequest, str]:
        """What to submit, in a run of its own, and the execution of which it is another try.

        Raises:
            BadRequest: an input is given for an execution that is not the one to be run.
            Conflict: what it was given is not known here.
            ContentGone: its arguments were erased or have expired; give others.
            JournalError: its run cannot be read.
        """
        run = await self._past.of_run(execution.run_id)
        callers = await self._callers(execution, run)
        again = callers[-1] if restart.scope is Scope.WORKFLOW else execution
        arguments = restart.arguments
        if arguments is not None and again is not execution:
            raise BadRequest(
                f"execution {execution.execution_id} was called by {again.execution_id}, which is run again "
                f"with its own input; to run it alone with another, say scope '{Scope.EXECUTION}'"
            )
        if arguments is None and not again.input_ref:
            raise Conflict(f"what execution {again.execution_id} was given is not known here; give its input")
        request = ExecutionRequest(
            target=again.target,
            arguments=await self._ledger.arguments(again) if arguments is None else arguments,
            run_id=new_run_id(),
            session_id=again.session_id,
        )
        if restart.reuses and (ready := await self._results(run.values(), callers)):
            self._ready[request.run_id or ""] = ready
            if len(self._ready) > READY_MAX:
                del self._ready[next(iter(self._ready))]
        return request, again.execution_id

    async def _callers(self, execution: Execution, run: dict[str, Execution]) -> list[Execution]:
        """The execution, then those of its run that it was called by, up to where the workflow began.

        A call within an agent's own process, which it only told of, may lie between two of them.
        """
        callers, each = [execution], execution
        for _ in range(_CALLERS_MAX):
            above = run.get(each.parent_execution_id or "")
            if above is None and each.parent_execution_id is not None:
                above = await self._past.find(each.parent_execution_id)
            if above is None or above.run_id != execution.run_id:
                break
            each = above
            if each.execution_id in run:
                callers.append(each)
        return callers

    async def _results(
        self, run: Iterable[Execution], callers: Sequence[Execution]
    ) -> dict[_Call, deque[Execution]]:
        """What had succeeded when the first of `callers` ended, without these, by what was called."""
        until = callers[0].completed_at
        left_out = {caller.execution_id for caller in callers}
        ready: dict[_Call, deque[Execution]] = {}
        done = [each for each in run if each.status is ExecutionStatus.SUCCEEDED]
        for each in done[:REUSED_MAX]:
            is_later = until is not None and (each.completed_at or 0.0) > until
            if is_later or each.execution_id in left_out:
                continue
            try:
                given = encode_arguments(await self._ledger.arguments(each))
            except ContentGone:
                continue
            ready.setdefault(_call(each.target, given), deque()).append(each)
        return ready

    async def take(self, request: ExecutionRequest) -> Execution | None:
        """One that succeeded with just this in the run that is run again, with its result; each once.

        Raises:
            JournalError: the content store does not answer.
        """
        ready = self._ready.get(request.run_id or "")
        if ready is None:
            return None
        try:
            given = encode_arguments(request.arguments)
        except (TypeError, ValueError, RecursionError):
            return None
        same = ready.get(_call(request.target, given))
        while same:
            found = same.popleft()
            await self._ledger.read_words(found)
            if found.result_json is not None:  # else it was erased
                return found
        return None

    def forget(self, run_id: str) -> None:
        """The run is over: nothing is held ready for it."""
        self._ready.pop(run_id, None)


def _call(target: str, given: bytes) -> _Call:
    return target, sha256(given).digest()
