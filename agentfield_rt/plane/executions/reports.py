"""What agents tell of their work besides outcomes: calls within their own process, and notes.

Reports are hints. They come late, twice and in any order; none of them moves what has ended.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from agentfield_journal import ContentStore, JournalConflict, Retention
from agentfield_rt.core.records import ExecutionNoted, ReportedStatus, SubcallReported
from agentfield_rt.plane.catalogue.catalogue import Catalogue
from agentfield_rt.plane.errors import Busy, Gone, NotFound
from agentfield_rt.plane.runs import Runs, require_free_name
from agentfield_rt.run import Context

REMEMBERED_MAX = 10_000
"""Sub-calls of which is remembered what was reported; of others the catalogue is asked."""

AT_ONCE_MAX = 256
"""Reports that are being recorded; most wait for the disk, some for a run to be opened again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an agent says of a call in its own process.

    Attributes:
        input, result, error: Content; JSON as it came.
    """

    execution_id: str
    run_id: str
    target: str
    status: ReportedStatus
    parent_execution_id: str | None = None
    session_id: str | None = None
    input: bytes | None = None
    result: bytes | None = None
    error: bytes | None = None
    duration_ms: int | None = None

    @property
    def says_more(self) -> bool:
        """Whether it says anything besides that the call began."""
        return self.status is not ReportedStatus.RUNNING or self.input is not None


@dataclass(slots=True)
class _Said:
    status: ReportedStatus
    has_input: bool


class Reports:
    """Records what agents tell.

    Args:
        is_ours: Whether an execution was submitted here; of such ones we know better.
    """

    def __init__(
        self, runs: Runs, catalogue: Catalogue, content: ContentStore, *, is_ours: Callable[[str], bool]
    ) -> None:
        self._runs = runs
        self._catalogue = catalogue
        self._content = content
        self._is_ours = is_ours
        self._said: OrderedDict[tuple[str, str], _Said] = OrderedDict()
        self._at_once = 0

    async def take(self, report: Report) -> bool:
        """Record what is new in a report; returns whether nobody had heard of the call before.

        Raises:
            BadRequest: the run is not for work.
            Busy: too many reports are being recorded.
            Gone: the run was archived or has expired.
            JournalError: it cannot be recorded.
        """
        if self._is_ours(report.execution_id):
            return False
        key = (report.run_id, report.execution_id)
        said = self._said.get(key) or await self._recall(report)
        if said is not None and not _is_news(report, said):
            return False
        self._said[key] = _Said(
            report.status, report.input is not None or (said is not None and said.has_input)
        )
        self._said.move_to_end(key)
        if len(self._said) > REMEMBERED_MAX:
            self._said.popitem(last=False)
        try:
            await self._record(report, needs_input=said is None or not said.has_input)
        except BaseException:
            self._said.pop(key, None)  # then it may be said again
            raise
        return said is None

    async def _recall(self, report: Report) -> _Said | None:
        row = await self._catalogue.execution(report.execution_id)
        if row is None or (row.is_reported and row.run_id != report.run_id):
            return None
        if not row.is_reported:  # one of ours, from before this process
            return _Said(ReportedStatus.SUCCEEDED, True)
        return _Said(ReportedStatus(row.status), row.input_ref is not None)

    async def _record(self, report: Report, *, needs_input: bool) -> None:
        record = SubcallReported(
            execution_id=report.execution_id,
            target=report.target,
            status=report.status,
            parent_execution_id=report.parent_execution_id,
            input_ref=self._keep(report, report.input if needs_input else None),
            result_ref=self._keep(report, report.result),
            error_ref=self._keep(report, report.error),
            duration_ms=report.duration_ms,
        )
        context = Context(report.target.partition(".")[0], report.session_id)
        await self._tell(report.run_id, record, context)

    def _keep(self, report: Report, data: bytes | None) -> str | None:
        if data is None:
            return None
        subject = report.session_id or report.target
        return self._content.put(data, subject=subject, retention=Retention.SESSION)

    async def note(self, execution_id: str, note: dict[str, Any], *, run_id: str | None) -> None:
        """Record what an agent notes about an execution; it is durable when this returns.

        Args:
            run_id: By the agent's word; what is in the catalogue counts for more.

        Raises:
            NotFound: nobody knows the execution, nor its run.
            BadRequest, Busy, Gone, JournalError: as `take`.
        """
        row = await self._catalogue.execution(execution_id)
        run_id = row.run_id if row is not None else run_id
        if run_id is None:
            raise NotFound("execution not found")
        subject = run_id if row is None else row.session_id or row.target
        ref = self._content.put(msgspec.json.encode(note), subject=subject, retention=Retention.SESSION)
        session_id = None if row is None else row.session_id
        context = Context(None if row is None else row.node_id, session_id)
        await self._tell(run_id, ExecutionNoted(execution_id=execution_id, note_ref=ref), context)
        await self._content.durable(ref)

    async def _tell(self, run_id: str, record: SubcallReported | ExecutionNoted, context: Context) -> None:
        require_free_name(run_id)
        if self._at_once >= AT_ONCE_MAX:
            raise Busy(f"{AT_ONCE_MAX} reports are being recorded, which is the limit; try again later")
        self._at_once += 1
        try:
            await self._runs.tell(run_id, [record], context)
        except JournalConflict as error:
            raise Gone(f"run {run_id} takes nothing more: it was archived, or has expired") from error
        finally:
            self._at_once -= 1


def _is_news(report: Report, said: _Said) -> bool:
    if said.status is not ReportedStatus.RUNNING:
        return report.input is not None and not said.has_input
    return report.says_more and not (
        report.status is ReportedStatus.RUNNING and (report.input is None or said.has_input)
    )
