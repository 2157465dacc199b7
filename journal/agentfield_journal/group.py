"""Group commit: items handed over on the event loop are committed in groups by one thread.

One group is in flight; whatever arrives meanwhile is the next. Knows nothing of what an item is.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, TypeVar, cast, runtime_checkable

from agentfield_journal.errors import JournalError, JournalUnavailable

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_IDLE_S = 0.005


class GroupListener(Protocol[ItemT]):
    """Who hands items over. Every method is called on the event loop."""

    def committed(self, group: list[ItemT], refused: list[ItemT]) -> None:
        """`group` has been committed but for the `refused` ones."""
        ...

    def failed(self, failure: JournalError) -> None:
        """Nothing more will be committed, ever. Called once."""
        ...

    def late(self) -> None:
        """A group has been in flight for another deadline; whether it will be stored is unknown."""
        ...


class GroupSink(Protocol[ItemT]):
    """Where groups go. Called in the writer thread, or on the loop when it never blocks."""

    @property
    def blocking(self) -> bool: ...

    def commit(self, batches: list[ItemT], /) -> list[ItemT]:
        """Durable on return; returns what was refused. Never called again after it raised."""
        ...

    def tend(self) -> None:
        """Housekeeping, once nothing has arrived for a few milliseconds."""
        ...


@runtime_checkable
class BusySink(Protocol):
    """A sink with housekeeping that cannot wait until nothing arrives any more."""

    def after_acknowledgement(self, *, waiting: bool) -> None:
        """Called in the writer thread once the acknowledgement of a group is on its way to the loop.

        Args:
            waiting: Whether other items have arrived, which wait for this to end.
        """
        ...


class GroupCommit(Generic[ItemT]):
    """Carries items from a listener to a sink. Make it and use it on one event loop."""

    def __init__(self, sink: GroupSink[ItemT], listener: GroupListener[ItemT], *, deadline_s: float) -> None:
        self.failure: JournalError | None = None
        self._sink = sink
        self._busy_sink = sink if isinstance(sink, BusySink) else None
        self._listener = listener
        self._deadline_s = deadline_s
        self._loop = asyncio.get_running_loop()
        self._pending: list[ItemT] = []
        self._scheduled = False
        self._in_flight = 0
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.Future[None] | None = None
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if sink.blocking:
            # A daemon: a disk that never answers must not keep the process from ending.
            self._thread = threading.Thread(target=self._work, name="journal-writer", daemon=True)
            self._thread.start()

    def submit(self, item: ItemT) -> None:
        """Queue one item. Its group starts after everything else that is ready on the loop."""
        self._pending.append(item)
        if not (self._scheduled or self._in_flight):
            self._schedule()

    def _schedule(self) -> None:
        self._scheduled = True
        self._loop.call_soon(self._start_group)

    def _start_group(self) -> None:
        self._scheduled = False
        if self._pending and not self.failure:
            self._send_pending()
        elif not self._in_flight and self._idle is not None:
            self._idle.set_result(None)
            self._idle = None

    def _send_pending(self) -> None:
        group, self._pending = self._pending, []
        self._in_flight += 1
        if self._thread is None:
            self._commit_here(group)
        else:
            self._arm()
            self._hand_over(group)

    def _hand_over(self, group: list[ItemT]) -> None:
        self._jobs.put(lambda: self._commit_in_thread(group))

    def _commit_here(self, group: list[ItemT]) -> None:
        try:
            refused = self._sink.commit(group)
        except Exception as error:
            self._stop(error)
        else:
            self._group_done(group, refused)

    def _commit_in_thread(self, group: list[ItemT]) -> None:
        if self.failure:
            return
        try:
            refused = self._sink.commit(group)
        except Exception as error:
            self._fail_in_thread(error)
        else:
            waiting = bool(self._pending)
            self._post(lambda: self._group_done(group, refused))
            self._after_acknowledgement(waiting)

    def _after_acknowledgement(self, waiting: bool) -> None:
        if self._busy_sink is None:
            return
        try:
            self._busy_sink.after_acknowledgement(waiting=waiting)
        except Exception as error:
            self._fail_in_thread(error)

    def _fail_in_thread(self, error: Exception) -> None:
        self.failure = as_journal_error(error)
        self._post(lambda: self._stop(error))

    def _group_done(self, group: list[ItemT], refused: list[ItemT]) -> None:
        self._in_flight -= 1
        self._disarm()
        if self._in_flight:
            self._arm()
        self._listener.committed(group, refused)
        if not self._scheduled:
            # The appenders just woken append again before the next group starts.
            self._schedule()

    def _stop(self, error: Exception) -> None:
        self._disarm()
        self.failure = self.failure or as_journal_error(error)
        self._pending = []
        self._in_flight = 0
        self._listener.failed(self.failure)
        self._schedule()

    def tend_soon(self) -> None:
        """Have the sink's housekeeping run again, although nothing has arrived."""
        if self._thread is not None and self._jobs.empty():
            self._jobs.put(lambda: None)

    async def run(self, job: Callable[[], ResultT]) -> ResultT:
        """Run `job` where commits run, after everything submitted so far.

        Raises:
            JournalUnavailable: a commit failed before, or the store did not answer in time.
        """
        if self._pending and not self.failure:
            self._send_pending()
        if self._thread is None:
            self._require_sound()
            return job()
        done: asyncio.Future[ResultT] = self._loop.create_future()

        def work() -> None:
            try:
                self._require_sound()
                result = job()
            except Exception as error:
                self._post(partial(_settle, done, error=error))
            else:
                self._post(lambda: _settle(done, result))

        self._jobs.put(work)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await done
        except TimeoutError:
            raise JournalUnavailable(f"the store did not answer within {self._deadline_s} s") from None

    async def close(self) -> None:
        """Commit what is queued and end the thread. Submit nothing any more.

        Raises:
            JournalUnavailable: the store did not answer in time; its thread is left behind.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                while self._scheduled or self._in_flight:
                    self._idle = self._idle or self._loop.create_future()
                    await asyncio.shield(self._idle)
                if self._thread is not None:
                    ended: asyncio.Future[None] = self._loop.create_future()
                    self._jobs.put(lambda: self._post(lambda: _settle(ended, None)))
                    await ended
        except TimeoutError:
            raise JournalUnavailable(
                f"the store did not answer within {self._deadline_s} s; what was not acknowledged may be lost"
            ) from None
        finally:
            self._disarm()
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._next_job()) is not None:
            job()

    def _next_job(self) -> Callable[[], None] | None:
        try:
            return self._jobs.get(timeout=_IDLE_S)
        except queue.Empty:
            self._tend()
            return self._jobs.get()

    def _tend(self) -> None:
        if self.failure:
            return
        try:
            self._sink.tend()
        except Exception as error:
            self._fail_in_thread(error)

    def _post(self, callback: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            # The loop was closed while the store worked: nobody is left to be told.
            self._jobs.put(None)

    def _require_sound(self) -> None:
        if self.failure is not None:
            raise JournalUnavailable(str(self.failure)) from self.failure

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(self._deadline_s, self._overdue)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _overdue(self) -> None:
        self._timer = self._loop.call_later(self._deadline_s, self._overdue)
        self._listener.late()


def _settle(
    future: asyncio.Future[ResultT], result: ResultT | None = None, *, error: Exception | None = None
) -> None:
    """Give `future` its end, unless whoever waited for it has gone."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(cast(ResultT, result))


def as_journal_error(error: Exception) -> JournalError:
    """`error` as one of ours, with the original as its cause."""
    if isinstance(error, JournalError):
        return error
    failure = JournalUnavailable(
        f"the store failed: {type(error).__name__}; reopen the journal and read before going on"
    )
    failure.__cause__ = error
    return failure
