"""Every store passes the public conformance kit."""

from pathlib import Path

import pytest

from agentfield_journal import Limits, Opening, StoreJournal, open_journal
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.testing import CHECKS, Check

each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)


@each_check
@pytest.mark.asyncio
async def test_the_memory_store_conforms(check: Check) -> None:
    store = MemoryStore()

    async def reopen() -> StoreJournal:
        return StoreJournal(store, Limits())

    await check(lambda: Opening(reopen))


@each_check
@pytest.mark.asyncio
async def test_the_sqlite_store_conforms(check: Check, tmp_path: Path) -> None:
    await check(lambda: open_journal(f"sqlite:///{tmp_path}/journal.db"))
