"""What is written of executions: records in their runs, words in the content store. Decides nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from agentfield_journal import ContentGone, Cursor, JournalUnavailable, QueuedContentStore
from agentfield_journal.envelope import Retention
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import Reason
from agentfield_rt.plane.executions.dispatch import Outcome
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.executions.status import ExecutionStatus
from agentfield_rt.plane.executions.submission import Extras
from agentfield_rt.run import Run

_ENCODE = msgspec.json.Encoder().encode
_DECODE_ARGUMENTS = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(slots=True)
class _Words:
    """What was said of an outcome and where it is kept; its execution has it once the outcome is recorded."""

    result_json: bytes | None = None
    result_ref: str | None = None
    error: str | None = None
    error_ref: str | None = None
    error_details_json: bytes | None = None
    error_details_ref: str | None = None

    @property
    def last_ref(self) -> str | None:
        """What was kept last: all of it is durable with this."""
        return self.result_ref or self.error_details_ref or self.error_ref

    def give(self, execution: Execution) -> None:
        execution.result_json, execution.result_ref = self.result_json, self.result_ref
        execution.error, execution.error_ref = self.error, self.error_ref
        execution.error_details_json = self.error_details_json
        execution.error_details_ref = self.error_details_ref


class Ledger:
    """Writes and reads what is kept of executions."""

    def __init__(self, content: QueuedContentStore) -> None:
        self._content = content

    def tag(self, name: str) -> str:
        """A keyed hash of `name`, in hex, that nobody outside can compute."""
        return self._content.tag(name)

    def keep(self, execution: Execution, data: bytes) -> str:
        """Keep what was passed or said about an execution.

        Raises:
            JournalError: the content store takes nothing more; nothing was taken.
        """
        return self._content.put(
            data, subject=execution.session_id or execution.target, retention=Retention.SESSION
        )

    def open(self, run: Run, execution: Execution, extras: Extras) -> tuple[Cursor, str]:
        """Append the record that opens it; what was passed along is kept first.

        Returns:
            Its place in the run, and the last content that has to be durable with it.
        """
        last = execution.input_ref
        refs: dict[str, str] = {}
        for name, value in extras.words():
            refs[f"{name}_ref"] = last = self.keep(execution, _ENCODE(value))
        execution.webhook_ref = refs.get("webhook_ref")
        queued = records.ExecutionQueued(
            op_id=execution.execution_id,
            target=execution.target,
            input_ref=execution.input_ref,
            parent_execution_id=execution.parent_execution_id,
            capability=execution.kind.value,
            actor_id=execution.actor_id,
            depth=execution.depth,
            remote=execution.remote,
            time_max_ms=int(execution.time_max_s * 1000),
            restart_of=extras.restart_of,
            **refs,
        )
        return run.append([queued], execution.context), last

    async def durable(self, run: Run, cursor: Cursor, ref: str | None) -> None:
        """Return once the records up to `cursor` are on stable storage, and the content up to `ref`.

        Raises:
            JournalError: they are not, or nobody knows.
        """
        # Both are on their way; waiting for one after the other takes as long as for the later one.
        await run.durable(cursor)
        if ref is not None:
            await self._content.durable(ref)

    def note(self, execution: Execution, record: Record) -> Cursor | None:
        """Append a record about an open execution; None for one that is not written here any more."""
        return None if execution.run is None else execution.run.append([record], execution.context)

    def close(self, execution: Execution, outcome: Outcome, *, at: float) -> None:
        """Keep what came of it and append the one record that closes it; `execution` says so from then on.

        Raises:
            JournalError: that cannot be kept or recorded; it is open as before.
        """
        run = execution.run
        if run is None:
            raise JournalUnavailable("this server is going down; another one will take the outcome")
        words = self._keep_words(execution, outcome)
        record, ref = _closing(execution.execution_id, outcome, words), words.last_ref
        batch: list[Record] = [record]
        if outcome.usage is not None:
            ref = self.keep(execution, _ENCODE(outcome.usage))
            batch.insert(
                0, records.ExecutionUsageReported(execution_id=execution.execution_id, usage_ref=ref)
            )
        cursor = run.append(batch, execution.context)
        words.give(execution)
        execution.error_status = outcome.error_status
        execution.end(outcome.status, outcome.reason or _reason_of(record), at=at)
        execution.durable = partial(self.durable, run, cursor, ref)

    def _keep_words(self, execution: Execution, outcome: Outcome) -> _Words:
        words = _Words()
        match outcome.status:
            case ExecutionStatus.SUCCEEDED:
                words.result_json = _json(outcome.result)
                words.result_ref = self.keep(execution, words.result_json)
            case ExecutionStatus.CANCELLED:
                words.error = outcome.error
            case _:
                if outcome.error is not None:
                    words.error = outcome.error.encode(errors="replace").decode()
                    words.error_ref = self.keep(execution, words.error.encode())
                if outcome.error_details is not None:
                    words.error_details_json = _json(outcome.error_details)
                    words.error_details_ref = self.keep(execution, words.error_details_json)
        return words

    async def arguments(self, execution: Execution) -> Mapping[str, Any]:
        """Its input, read again.

        Raises:
            ContentGone: it was erased, has expired or was never stored.
            JournalError: it cannot be read.
        """
        return _DECODE_ARGUMENTS(await self._content.get(execution.input_ref))

    async def same_input(self, execution: Execution, encoded: bytes) -> bool:
        """Whether `encoded` is what the execution was given; of what was erased nobody can tell."""
        try:
            return await self._content.get(execution.input_ref) == encoded
        except ContentGone:
            return True

    async def read_words(self, execution: Execution) -> None:
        """Fetch what came of an execution that was read from the journal; what was erased stays empty.

        Raises:
            JournalError: the content store does not answer.
        """
        if execution.result_json is None and execution.result_ref is not None:
            execution.result_json = await self._found(execution.result_ref)
        if execution.error is None and execution.error_ref is not None:
            words = await self._found(execution.error_ref)
            execution.error = None if words is None else words.decode()
        if execution.error_details_json is None and execution.error_details_ref is not None:
            execution.error_details_json = await self._found(execution.error_details_ref)

    async def _found(self, ref: str) -> bytes | None:
        try:
            return await self._content.get(ref)
        except ContentGone:
            return None


def _closing(op_id: str, outcome: Outcome, words: _Words) -> Record:
    match outcome.status:
        case ExecutionStatus.SUCCEEDED:
            return records.ExecutionSucceeded(op_id=op_id, result_ref=words.result_ref or "")
        case ExecutionStatus.CANCELLED:
            return records.ExecutionCancelled(op_id=op_id)
        case _:
            return records.ExecutionFailed(
                op_id=op_id,
                reason=outcome.reason or Reason.HANDLER_ERROR,
                error_ref=words.error_ref,
                error_details_ref=words.error_details_ref,
            )


def _json(value: Any) -> bytes:
    """What an agent sent as it came, anything else encoded."""
    return bytes(value) if isinstance(value, msgspec.Raw) else _ENCODE(value)


def _reason_of(record: Record) -> Reason | None:
    match record:
        case records.ExecutionFailed(reason=reason):
            return reason
        case records.ExecutionCancelled():
            return Reason.CANCELLED
        case _:
            return None


def encode_arguments(arguments: Mapping[str, Any]) -> bytes:
    """Arguments as they are kept.

    Raises:
        TypeError, ValueError, RecursionError: they have no JSON form.
    """
    return _ENCODE(arguments)
