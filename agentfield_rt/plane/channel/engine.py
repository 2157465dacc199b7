"""Port: the executions, as far as agents at the end of a channel use them."""

from typing import Any, Protocol

from agentfield_rt.channel.to_plane import Note
from agentfield_rt.plane.executions.dispatch import Outcome
from agentfield_rt.plane.executions.execution import Execution
from agentfield_rt.voice.link import ExecutionRequest


class Engine(Protocol):
    """Runs executions wherever their nodes are."""

    async def submit(self, request: ExecutionRequest, *, key: str, actor_id: str | None) -> Execution:
        """Accept an execution; the same `key` again is the same execution. It is durable when this returns.

        Raises:
            PlaneError: it cannot be run.
            JournalError: it could not be made durable; it does not run.
        """
        ...

    async def find(self, execution_id: str) -> Execution:
        """One that was accepted.

        Raises:
            NotFound: there is none.
            JournalError: it cannot be looked up.
        """
        ...

    async def result(self, execution: Execution) -> Any:
        """Wait for its end, and return what came of it once that is durable.

        Raises:
            ExecutionFailed: it did not succeed.
            JournalError: its end could not be recorded.
        """
        ...

    async def cancel(self, execution_id: str) -> None:
        """Nobody waits for it any more."""
        ...

    async def report(self, execution_id: str, outcome: Outcome, *, node_id: str) -> None:
        """A node told how it ended; durable when this returns.

        Raises:
            PlaneError: it is not known, is another node's, or ended otherwise.
            JournalError: it could not be recorded.
        """
        ...

    def began(self, execution_id: str, *, node_id: str) -> None:
        """A node has it and will report, so it is not sent again. One that is not its is passed over."""
        ...

    def begun_at(self, node_id: str) -> list[str]:
        """The executions that a node has, and has not told the end of."""
        ...

    async def note(self, note: Note) -> None:
        """Somebody remarked on an execution."""
        ...
