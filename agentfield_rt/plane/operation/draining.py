"""The end of a plane that lets its calls end first: it takes nothing new, and what is live may finish."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

Tell = Callable[["Waiting"], None]


class Finishing(Protocol):
    """A part of the plane that has work to finish."""

    def __len__(self) -> int:
        """How much of it is live."""
        ...

    async def drain(self) -> None:
        """Take nothing new, and return once nothing is live. May be cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a server that is to stop still waits for, and how long at the most."""

    sessions: int
    executions: int
    max_s: float

    def __str__(self) -> str:
        what = [
            f"{count} {name}{'' if count == 1 else 's'}"
            for count, name in ((self.sessions, "call"), (self.executions, "execution"))
            if count
        ]
        return f"taking nothing new, and waiting up to {self.max_s:g} s for {' and '.join(what)} to end"


class Draining:
    """Whether a plane is draining, and the one time that it does.

    Attributes:
        has_begun: Nothing new is taken any more.
    """

    def __init__(self, sessions: Finishing, executions: Finishing) -> None:
        self._sessions = sessions
        self._executions = executions
        self.has_begun = False

    def begin(self) -> None:
        """Say that nothing new is taken any more; `drain` sees to it."""
        self.has_begun = True

    async def drain(self, *, max_s: float, tell: Tell) -> bool:
        """Take nothing new from now on, and return when nothing is live or `max_s` are over.

        Args:
            tell: Told once what is waited for, if anything is.

        Returns:
            Whether everything ended by itself.
        """
        self.begin()
        try:
            async with asyncio.timeout(max_s):
                async with asyncio.TaskGroup() as ends:
                    ends.create_task(self._sessions.drain(), name="drain sessions")
                    ends.create_task(self._executions.drain(), name="drain executions")
                    if len(self._sessions) or len(self._executions):
                        tell(Waiting(len(self._sessions), len(self._executions), max_s))
        except TimeoutError:
            return False
        return True
