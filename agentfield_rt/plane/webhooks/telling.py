"""One try to tell of an outcome: journaled before and after, in the webhook's own run."""

import logging
from collections.abc import Awaitable, Callable

from agentfield_journal import ContentGone, ContentStore
from agentfield_rt.core import records
from agentfield_rt.core.records import Decision, Record
from agentfield_rt.deliveries import Deliveries, DeliveryOutcome, DeliveryStatus
from agentfield_rt.errors import Reason
from agentfield_rt.inspection import history
from agentfield_rt.plane.egress import HttpClient, parse_address
from agentfield_rt.plane.errors import Conflict, NotFound
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.plane.notation import webhook_run_id
from agentfield_rt.plane.runs import Runs
from agentfield_rt.plane.webhooks.registration import Registration, read_registration
from agentfield_rt.plane.webhooks.sink import DEADLINE_S, SINK, RegisteredSink
from agentfield_rt.plane.webhooks.views import webhook_body
from agentfield_rt.sinks import Destination, Output

log = logging.getLogger(__name__)

PAUSES_S = (2.0, 6.0, 20.0, 60.0, 180.0, 600.0, 1_800.0, 3_600.0, 3_600.0)
"""Before each further try, which come to an end within three hours."""

TRIES_MAX = len(PAUSES_S) + 1


class Teller:
    """Tells whoever registered with an execution what came of it.

    Args:
        find: An execution by its id, with what came of it, as the journal has it: of what a process merely
            remembers the next one would write another body.
    """

    def __init__(
        self,
        runs: Runs,
        content: ContentStore,
        client: HttpClient,
        *,
        find: Callable[[str], Awaitable[Execution]],
    ) -> None:
        self._runs = runs
        self._content = content
        self._client = client
        self._find = find

    async def receiver(self, execution_id: str) -> str:
        """The server that is to be told; empty when nobody is any more.

        Raises:
            NotFound: nobody knows the execution.
            EgressRefused: its address is none any more.
            JournalError: it cannot be read.
        """
        registration = await self._registration(await self._find(execution_id))
        return "" if registration is None else parse_address(registration.url).authority

    async def tell(self, execution_id: str) -> float | None:
        """Try once.

        Returns:
            How long to wait before the next try; None when there is nothing more to do.

        Raises:
            JournalError: what was tried cannot be recorded, or not be read.
        """
        try:
            execution = await self._find(execution_id)
            if not execution.is_final:  # the catalogue is behind
                return PAUSES_S[0]
            run = await self._runs.hold(webhook_run_id(execution_id))
        except (Conflict, NotFound):  # it has been told, or given up; or nobody knows it
            return None
        pause_s: float | None = 0.0
        try:
            told = await history(self._runs.journal, run.run_id)
            subject = execution.session_id or execution.target
            deliveries = Deliveries(run, self._content, history=told, subject=subject)
            pause_s = await self._tell(execution, deliveries, tries=1 + _tries(told))
        finally:
            if pause_s is None:
                await self._runs.let_go(run.run_id)
            else:
                await self._runs.set_aside(run.run_id)
        return pause_s

    async def _tell(self, execution: Execution, deliveries: Deliveries, *, tries: int) -> float | None:
        for doubt in await deliveries.recover():  # a receiver takes each once: it knows the id
            await deliveries.reconcile(doubt.request.op_id, Decision.NOT_DONE)
        registration = await self._registration(execution)
        if registration is None:
            self._give_up(execution, Reason.NOT_FOUND)
            return None
        outcome = await deliveries.deliver(
            Output(source_id=execution.execution_id, body=webhook_body(execution)),
            Destination(SINK, execution.execution_id),
            RegisteredSink(self._client, registration),
            required=True,
            deadline_s=DEADLINE_S,
        )
        if outcome.status in (DeliveryStatus.COMPLETED, DeliveryStatus.DEDUPED):
            return None
        is_last = tries >= TRIES_MAX or outcome.reason is Reason.NOT_ALLOWED
        await _settle(deliveries, outcome, Decision.ABANDONED if is_last else Decision.NOT_DONE)
        if is_last:
            self._give_up(execution, outcome.reason or Reason.UNAVAILABLE)
            return None
        return PAUSES_S[tries - 1]

    def _give_up(self, execution: Execution, reason: Reason) -> None:
        log.warning("the webhook of %s is given up: %s", execution.execution_id, reason)
        self._runs.fail(webhook_run_id(execution.execution_id), reason)

    async def _registration(self, execution: Execution) -> Registration | None:
        """None when it was erased, has expired, or is none."""
        if execution.webhook_ref is None:
            return None
        try:
            return read_registration(await self._content.get(execution.webhook_ref))
        except (ContentGone, ValueError):
            return None


def _tries(told: list[Record]) -> int:
    return sum(isinstance(record, records.OutputDispatchRequested) for record in told)


async def _settle(deliveries: Deliveries, outcome: DeliveryOutcome, decision: Decision) -> None:
    if outcome.status is DeliveryStatus.RECONCILIATION_NEEDED and outcome.op_id is not None:
        await deliveries.reconcile(outcome.op_id, decision)
