"""How an execution is accepted: refused at once or durable, and once for each key that it is sent under."""

import asyncio
from weakref import WeakValueDictionary

from agentfield_journal import JournalConflict, JournalError
from agentfield_rt.core import records
from agentfield_rt.plane.errors import BadRequest, Busy, Conflict
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.known import Known
from agentfield_rt.plane.executions.ledger import Ledger, encode_arguments
from agentfield_rt.plane.executions.past import Past
from agentfield_rt.plane.executions.submission import Extras
from agentfield_rt.plane.nodes import Nodes
from agentfield_rt.plane.notation import further_run_id, new_execution_id, new_run_id
from agentfield_rt.plane.runs import Runs, require_free_name
from agentfield_rt.run import Run
from agentfield_rt.voice.link import ExecutionRequest

OPEN_MAX = 10_000
"""Executions that are queued or running at once; beyond that, submits are told to come again later."""

OPEN_NESTED_MAX = OPEN_MAX + 2_500
"""As `OPEN_MAX`, for what a running execution waits for: to refuse it would fail what was accepted."""

TIME_MAX_S = 6 * 3600.0
"""How long an execution is waited for; AgentField's clients give up after as long."""

DEPTH_MAX = 100
"""Executions that wait for one another: a reasoner that calls itself for ever would fill the disk."""

_RETRY_AFTER_S = 1


class Admission:
    """Accepts executions."""

    def __init__(self, runs: Runs, nodes: Nodes, ledger: Ledger, *, known: Known, past: Past) -> None:
        self._runs = runs
        self._nodes = nodes
        self._ledger = ledger
        self._known = known
        self._past = past
        self._accepting = 0
        self._keys = WeakValueDictionary[str, asyncio.Lock]()
        self.closed = False

    async def admit(self, request: ExecutionRequest, extras: Extras) -> tuple[Execution, bool]:
        """An execution that is durable, and whether it is new.

        Raises:
            BadRequest, NotFound: the target is none of ours, the arguments are no JSON, or the run is of
                another kind.
            Busy: as many are open as may be, or the server is going down.
            Conflict: the key was used for something else.
            JournalError: it could not be made durable: it does not run.
        """
        execution, encoded = self._draft(request, extras)
        if extras.idempotency_key is None:
            await self._accept(execution, encoded, extras, is_new_run=request.run_id is None)
            return execution, True
        async with self._keys.setdefault(execution.execution_id, asyncio.Lock()):
            first = await self._first(execution)
            if first is None:
                await self._accept(execution, encoded, extras, is_new_run=False)
                return execution, True
        if first.target != execution.target or not await self._ledger.same_input(first, encoded):
            raise Conflict("this Idempotency-Key was used for another request; a new one needs a new key")
        return first, False

    async def _first(self, execution: Execution) -> Execution | None:
        """The execution that was accepted under the same key, which gave it the same id."""
        known = self._known.find(execution.execution_id)
        if known is not None:
            return known
        found = await self._past.in_workflow(execution.run_id, execution.execution_id)
        if found is not None:
            await self._ledger.read_words(found)
        return found

    def _draft(self, request: ExecutionRequest, extras: Extras) -> tuple[Execution, bytes]:
        require_free_name(request.run_id)
        node, capability = self._nodes.capability(request.target)
        parent = self._known.find(request.parent_execution_id or "")
        depth = 0 if parent is None else parent.depth + 1
        if depth > DEPTH_MAX:
            raise BadRequest(
                f"{request.target} is called {depth} deep; does a reasoner call itself for ever?"
            )
        is_nested = parent is not None and not parent.is_final
        self._require_room(nested=is_nested, goes_on=is_nested or request.session_id is not None)
        try:
            encoded = encode_arguments(request.arguments)
        except (TypeError, ValueError, RecursionError) as error:
            raise BadRequest(f"the arguments of {request.target} cannot be written as JSON") from error
        execution_id, run_id = self._ids(request, extras)
        execution = Execution(
            execution_id=execution_id,
            run_id=run_id,
            target=request.target,
            kind=capability.kind,
            created_at=self._runs.now(),
            input_ref="",
            depth=depth,
            remote=node.dispatcher.remote,
            time_max_s=TIME_MAX_S,
            session_id=request.session_id,
            turn_id=request.turn_id,
            actor_id=extras.actor_id,
            parent_execution_id=request.parent_execution_id,
            arguments=request.arguments,
        )
        return execution, encoded

    def _ids(self, request: ExecutionRequest, extras: Extras) -> tuple[str, str]:
        """A key gives its execution, and its run if that is new, the same id each time: nothing is looked up
        in an index that could be lost. The ids are keyed hashes, so that nobody can guess them from the key.
        """
        if extras.idempotency_key is None:
            return new_execution_id(), request.run_id or new_run_id()
        tag = self._ledger.tag(f"idempotency\n{request.run_id or ''}\n{extras.idempotency_key}")[:32]
        return f"exec_{tag}", request.run_id or f"run_{tag}"

    def _require_room(self, *, nested: bool, goes_on: bool) -> None:
        """`goes_on`: it is part of what began before; a live call needs its reasoners to the end."""
        if self.closed and not goes_on:
            raise Busy("this server is going down; try again in a moment", retry_after_s=_RETRY_AFTER_S)
        limit = OPEN_NESTED_MAX if nested else OPEN_MAX
        if len(self._known) + self._accepting >= limit:
            raise Busy(
                f"{limit} executions are queued or running, which is the limit; try again later",
                retry_after_s=_RETRY_AFTER_S,
            )

    async def _accept(
        self, execution: Execution, encoded: bytes, extras: Extras, *, is_new_run: bool
    ) -> None:
        self._accepting += 1
        try:
            execution.input_ref = self._ledger.keep(execution, encoded)
            execution.run = run = await self._hold(execution, is_new_run=is_new_run)
            accepted = False
            try:
                cursor, ref = self._ledger.open(run, execution, extras)
                accepted = True
                await self._ledger.durable(run, cursor, ref)
            except BaseException:
                if accepted:
                    self._withdraw(execution)
                self._runs.let_go_soon(execution.run_id)
                raise
            self._known.add(execution)
        finally:
            self._accepting -= 1

    async def _hold(self, execution: Execution, *, is_new_run: bool) -> Run:
        """The run it is written to. Where that takes nothing (any more), the workflow goes on in another one,
        whose name follows from the execution, so that its key finds it again.
        """
        if is_new_run:
            return await self._runs.begin(execution.run_id)
        try:
            return await self._runs.hold(execution.run_id)
        except (Conflict, JournalConflict):  # it has ended, was archived, has expired or is another process's
            execution.run_id = further_run_id(execution.run_id, execution.execution_id)
            return await self._runs.hold(execution.run_id)

    def _withdraw(self, execution: Execution) -> None:
        """Whoever submitted it never learned that it was accepted; it does not run."""
        try:
            self._ledger.note(execution, records.ExecutionCancelled(op_id=execution.execution_id))
        except JournalError:
            pass  # then the journal is gone, and whoever opens it finds the execution open
