"""Runs claimed in groups: those that are asked for while others are being claimed share one transaction.

Each claim is durable before anything is written under it. One by one, a hundred runs that open together would
wait for a hundred syncs. Knows no file and no SQL.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from agentfield_journal.errors import JournalConflict, JournalError, JournalFull, another
from agentfield_journal.stores.port import Claim, ClaimsTogether

TOGETHER_MAX = 256
"""Runs in one transaction, so that a group is claimed long before the store's deadline."""

Answers = list[Claim | JournalConflict]


class OnWriter(Protocol):
    """Runs a job where commits run, after all that was submitted; raises `JournalError` if it cannot."""

    def __call__(self, job: Callable[[], Answers], /) -> Awaitable[Answers]: ...


class Claims:
    """The claims of one journal.

    Args:
        on_writer: Bounds how long each group may take.
    """

    def __init__(self, store: ClaimsTogether, on_writer: OnWriter) -> None:
        self._store = store
        self._on_writer = on_writer
        self._asked: list[tuple[str, asyncio.Future[Claim]]] = []
        self._claiming: asyncio.Task[None] | None = None

    async def claim(self, run_id: str) -> Claim:
        """Claim `run_id`, with whatever else is asked for meanwhile.

        Raises:
            JournalConflict: it cannot be had; no other run is touched by that.
            JournalUnavailable: the store failed, or did not answer in time.
        """
        claimed: asyncio.Future[Claim] = asyncio.get_running_loop().create_future()
        self._asked.append((run_id, claimed))
        if self._claiming is None:
            self._claiming = asyncio.create_task(self._claim_all(), name="journal-claims")
        return await claimed

    async def _claim_all(self) -> None:
        try:
            while wanted := [(run_id, claimed) for run_id, claimed in self._asked if not claimed.done()]:
                self._asked = wanted[TOGETHER_MAX:]
                await self._claim_group(wanted[:TOGETHER_MAX])
        finally:
            self._asked = []
            self._claiming = None

    async def _claim_group(self, group: list[tuple[str, asyncio.Future[Claim]]]) -> None:
        run_ids = [run_id for run_id, _ in group]
        try:
            answers = await self._on_writer(partial(claim_together, self._store, run_ids))
        except JournalError as error:
            # A store that failed, or does not answer, does so to those that come next as well.
            for _, claimed in (*group, *self._asked):
                _settle(
                    claimed, JournalFull(str(error)) if isinstance(error, JournalFull) else another(error)
                )
            self._asked = []
        except BaseException:
            for _, claimed in (*group, *self._asked):
                claimed.cancel()
            raise
        else:
            for (_, claimed), answer in zip(group, answers, strict=True):
                _settle(claimed, answer)


def _settle(claimed: asyncio.Future[Claim], answer: Claim | JournalError) -> None:
    if claimed.done():
        return  # whoever asked has gone
    if isinstance(answer, Claim):
        claimed.set_result(answer)
    else:
        claimed.set_exception(answer)


def claim_together(store: ClaimsTogether, run_ids: list[str]) -> Answers:
    """Claim all of `run_ids`; one that cannot be had spoils its transaction, so they are tried by halves."""
    try:
        return list(store.claim_all(run_ids))
    except JournalConflict as conflict:
        if len(run_ids) == 1:
            return [conflict]
        middle = len(run_ids) // 2
        return claim_together(store, run_ids[:middle]) + claim_together(store, run_ids[middle:])
