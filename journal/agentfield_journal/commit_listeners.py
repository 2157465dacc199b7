"""Whoever is told what became durable. Reads none of it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeAlias

from agentfield_journal.stores.port import Batch

CommitListener: TypeAlias = Callable[[Sequence[Batch]], object]
"""Takes a durable group; groups come in the order of commits. What it raises never touches a commit."""


class CommitListeners:
    """The listeners of one journal, on its event loop."""

    def __init__(self) -> None:
        self._listeners: list[CommitListener] = []

    def add(self, listener: CommitListener) -> None:
        self._listeners.append(listener)

    def tell(self, group: list[Batch], refused: list[Batch]) -> None:
        """Hand the batches of `group` on that were not refused."""
        if not self._listeners:
            return
        if refused:
            group = [batch for batch in group if batch not in refused]
        for listener in self._listeners:
            try:
                listener(group)
            except Exception as error:
                about = {"message": "a listener failed that is told of commits", "exception": error}
                asyncio.get_running_loop().call_exception_handler(about)
