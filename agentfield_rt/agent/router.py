"""Reasoners and skills of one subject, in a module of their own, until an agent takes them in."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentfield_rt.agent.declaring import Declarations
from agentfield_rt.errors import RealtimeError

if TYPE_CHECKING:
    from agentfield_rt.agent.agent import Agent

_SEPARATORS = re.compile(r"[^0-9A-Za-z]+")


class AgentRouter(Declarations):
    """Declares as an agent does; `app.include_router(router)` makes it part of an agent.

    Args:
        prefix: `orders` makes the function `find` the reasoner `orders_find`, as in AgentField. A name that
            is given to a decorator stays as it is.
        tags: All of it has them.
    """

    def __init__(self, prefix: str = "", tags: Sequence[str] = ()) -> None:
        name = _SEPARATORS.sub("_", prefix).strip("_")
        super().__init__(f"router {prefix!r}" if prefix else "a router", prefix=name, tags=tags)
        self._agent: Agent | None = None

    @property
    def app(self) -> "Agent":
        """The agent that it is part of.

        Raises:
            RealtimeError: none yet.
        """
        if self._agent is None:
            raise RealtimeError("this router is part of no agent; app.include_router(router) comes first")
        return self._agent

    async def call(self, target: str, **arguments: Any) -> Any:
        """See `Agent.call`."""
        return await self.app.call(target, **arguments)

    def note(self, message: str, tags: Sequence[str] = ()) -> None:
        """See `Agent.note`."""
        self.app.note(message, tags)

    def attach(self, agent: "Agent") -> None:
        """It is part of `agent` now.

        Raises:
            ValueError: it is part of another one.
        """
        if self._agent not in (None, agent):
            raise ValueError(f"this router is part of agent {self.app.node_id} already")
        self._agent = agent
