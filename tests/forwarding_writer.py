"""A run's writer that passes all on: whoever watches or breaks one overrides what it is about."""

from collections.abc import Sequence

from agentfield_journal import Cursor, Draft
from agentfield_journal.ports import RunWriter


class ForwardingWriter:
    """Satisfies `RunWriter`."""

    def __init__(self, inner: RunWriter) -> None:
        self._inner = inner

    @property
    def run_id(self) -> str:
        return self._inner.run_id

    @property
    def epoch(self) -> int:
        return self._inner.epoch

    @property
    def head(self) -> Cursor:
        return self._inner.head

    def append(self, drafts: Sequence[Draft]) -> Cursor:
        return self._inner.append(drafts)

    async def durable(self, cursor: Cursor) -> None:
        await self._inner.durable(cursor)

    async def release(self) -> None:
        await self._inner.release()
