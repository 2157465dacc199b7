"""The journal over a store that several processes share: each run it writes is leased, and kept leased.

Knows no clock but the store's and the one that leases are counted on.
"""

import asyncio
from contextlib import suppress
from functools import partial

from agentfield_journal.engine import Limits, StoreJournal
from agentfield_journal.errors import JournalError, JournalUnavailable, RunLeased
from agentfield_journal.stores.leasing import LeasingStore
from agentfield_journal.stores.port import Batch
from agentfield_journal.writer import StoreRunWriter

_RETRY_MAX_S = 1.0
_LOOK_AGAIN_S = 0.5


class LeasedJournal(StoreJournal):
    """A `StoreJournal` whose writers hold a lease of their run, renewed in the background.

    A writer whose lease could not be renewed appends no more, before the lease ends for others. A journal
    that closes, and a writer that is released, end their leases at once.
    """

    def __init__(self, store: LeasingStore, limits: Limits) -> None:
        super().__init__(store, limits)
        self._leasing = store
        self._leases = store.leases
        self._leased: dict[str, StoreRunWriter] = {}
        self._keeper: asyncio.Task[None] | None = None

    async def open_run(self, run_id: str) -> StoreRunWriter:
        """As `Journal.open_run`; `open_run_when_free` waits for another holder.

        Raises:
            RunLeased: another holder has a live lease of the run; nothing has changed.
            JournalUnavailable: the lease was over before the run was read.
        """
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="journal-leases")
        writer = await super().open_run(run_id)
        newest = self._leased.get(run_id)
        if newest is None or newest.epoch < writer.epoch:
            self._leased[run_id] = writer
        writer.after_release = partial(self._hand_over, run_id, writer.epoch)
        self._require_lease(run_id, writer.epoch)
        return writer

    def _submit(self, batch: Batch, closes: bool) -> None:
        self._require_lease(batch.run_id, batch.epoch)
        super()._submit(batch, closes)

    def _require_lease(self, run_id: str, epoch: int) -> None:
        if not self._leases.usable(run_id, epoch):
            self._lapse(run_id, epoch)
            raise _lapsed(run_id)

    def _lapse(self, run_id: str, epoch: int) -> None:
        """Never to be used again, also if a renewal under way succeeds: the run must be opened anew."""
        self._leases.drop(run_id, epoch)
        writer = self._leased.get(run_id)
        if writer is not None and writer.epoch == epoch:
            del self._leased[run_id]
            writer.fail(_lapsed(run_id))

    async def _keep(self) -> None:
        terms = self._leases.terms
        wait_s = terms.renew_every_s
        while True:
            await asyncio.sleep(wait_s)
            wait_s = terms.renew_every_s
            try:
                # What is not answered by then is of no use: the leases are over.
                async with asyncio.timeout(terms.usable_s - terms.renew_every_s):
                    await self.on_writer(partial(self._tend_leases, self._wanted()))
            except (JournalError, TimeoutError):
                wait_s = min(_RETRY_MAX_S, terms.renew_every_s / 4)
            for run_id, writer in list(self._leased.items()):
                if not self._leases.usable(run_id, writer.epoch):
                    self._lapse(run_id, writer.epoch)

    def _wanted(self) -> set[str]:
        return self._leased.keys() | self._opening.keys()

    def _tend_leases(self, wanted: set[str]) -> None:
        # An opening that was cancelled or found a damaged run, or an import, leaves a lease that nobody uses.
        self._leasing.release({run: epoch for run, epoch in self._leases.all().items() if run not in wanted})
        self._leasing.renew()

    async def _hand_over(self, run_id: str, epoch: int) -> None:
        writer = self._leased.get(run_id)
        if writer is None or writer.epoch != epoch:
            return
        del self._leased[run_id]
        with suppress(JournalError):  # then it runs out by itself
            await self.on_writer(partial(self._leasing.release, {run_id: epoch}))

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        await super().close()


def _lapsed(run_id: str) -> JournalUnavailable:
    return JournalUnavailable(
        f"the lease of run {run_id} was not renewed in time, another process may have it;"
        " open the run again and read before going on"
    )


async def open_run_when_free(journal: StoreJournal, run_id: str, *, wait_max_s: float) -> StoreRunWriter:
    """Open a run as soon as no other holder has a live lease of it.

    Raises:
        RunLeased: the lease was still live after `wait_max_s`.
    """
    loop = asyncio.get_running_loop()
    stop_s = loop.time() + wait_max_s
    while True:
        try:
            return await journal.open_run(run_id)
        except RunLeased as leased:
            left_s = stop_s - loop.time()
            if left_s <= 0:
                raise
            await asyncio.sleep(min(max(leased.ends_in_s, 0.01), _LOOK_AGAIN_S, left_s))
