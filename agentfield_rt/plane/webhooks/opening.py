"""From what a plane has to webhooks that are told."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from agentfield_journal import ContentStore
from agentfield_rt.plane.catalogue.catalogue import Catalogue
from agentfield_rt.plane.egress import HttpClient
from agentfield_rt.plane.executions.executions import Executions
from agentfield_rt.plane.runs import Runs
from agentfield_rt.plane.webhooks.owed import owed_webhooks
from agentfield_rt.plane.webhooks.telling import Teller
from agentfield_rt.plane.webhooks.webhooks import Webhooks


@asynccontextmanager
async def open_webhooks(
    runs: Runs, executions: Executions, *, content: ContentStore, client: HttpClient, catalogue: Catalogue
) -> AsyncGenerator[Webhooks]:
    """Webhooks of these executions, told while the block runs: those that are owed at once."""
    teller = Teller(runs, content, client, find=executions.recorded)
    webhooks = Webhooks(runs, teller, partial(owed_webhooks, catalogue))
    executions.on_finished(webhooks.finished)
    await webhooks.start()
    try:
        yield webhooks
    finally:
        await webhooks.close()
