"""Which webhooks are owed, as the catalogue tells. Tells nobody."""

import time

from agentfield_rt.plane.catalogue.catalogue import Catalogue
from agentfield_rt.plane.catalogue.rows import ExecutionRow, RunRow
from agentfield_rt.plane.notation import WEBHOOK, webhook_execution_id

LOOKED_BACK_NS = 3 * 86_400_000_000_000
"""How old an execution may be whose webhook was never begun: after a longer pause nobody is told."""

_NEVER_BEGUN = (
    "executions WHERE webhook_ref IS NOT NULL AND ended_at_ns IS NOT NULL AND queued_at_ns >= ?"
    " AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.run_id = ? || executions.execution_id)"
    " ORDER BY queued_at_ns LIMIT ?"
)
_OPEN = "runs WHERE ended_at_ns IS NULL AND run_id > ? AND run_id < ? ORDER BY run_id LIMIT ?"


async def owed_webhooks(catalogue: Catalogue, *, limit: int) -> list[str]:
    """Ids of executions whose webhook was begun and not finished, or never begun although they ended.

    Raises:
        Busy: the catalogue is behind.
    """
    since_ns = time.time_ns() - LOOKED_BACK_NS
    begun = await catalogue.read(
        lambda db: db.select(RunRow, _OPEN, (WEBHOOK, WEBHOOK + "\x7f", limit)),
    )
    never_begun = await catalogue.read(
        lambda db: db.select(ExecutionRow, _NEVER_BEGUN, (since_ns, WEBHOOK, limit)),
    )
    found = [webhook_execution_id(run.run_id) for run in begun]
    return [*found, *(execution.execution_id for execution in never_begun)][:limit]
