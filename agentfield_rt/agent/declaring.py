"""`@reasoner` and `@skill`, bare or with arguments; an agent and a router declare alike."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from agentfield_rt.agent.reasoner import Reasoner

Function = TypeVar("Function", bound=Callable[..., Any])


class Declarations:
    """Reasoners and skills by name. One name is one of them: targets do not say which is meant.

    Args:
        owner: Who declares them, for whoever uses a name twice.
        prefix: Comes before each name that is derived from a function, with an underscore.
        tags: Everything declared here has them, too.

    Attributes:
        reasoners: Work that may take judgement; AgentField's word for what agents do.
        skills: Work that is the same every time.
    """

    def __init__(self, owner: str, *, prefix: str = "", tags: Sequence[str] = ()) -> None:
        self.reasoners: dict[str, Reasoner] = {}
        self.skills: dict[str, Reasoner] = {}
        self._owner = owner
        self._prefix = prefix
        self._tags = tuple(tags)

    @overload
    def reasoner(self, name: Function, /) -> Function: ...

    @overload
    def reasoner(
        self, name: str | None = None, *, tags: Sequence[str] = (), description: str = ""
    ) -> Callable[[Function], Function]: ...

    def reasoner(self, name: Any = None, *, tags: Sequence[str] = (), description: str = "") -> Any:
        """Declare a reasoner; its parameters, typed, are its input, and what it returns is its output.

        Args:
            name: The second half of its target; the function's own when left out.
            tags: For whoever looks for it, and for access.
            description: What it does; the function's docstring when left out.
        """
        return self._declare(self.reasoners, name, tags, description)

    @overload
    def skill(self, name: Function, /) -> Function: ...

    @overload
    def skill(
        self, name: str | None = None, *, tags: Sequence[str] = (), description: str = ""
    ) -> Callable[[Function], Function]: ...

    def skill(self, name: Any = None, *, tags: Sequence[str] = (), description: str = "") -> Any:
        """Declare a skill: as a reasoner, for work that needs no judgement."""
        return self._declare(self.skills, name, tags, description)

    def _declare(self, among: dict[str, Reasoner], name: Any, tags: Sequence[str], description: str) -> Any:
        bare = callable(name)
        given: str | None = None if bare else name

        def declare(function: Function) -> Function:
            own = given or "_".join(part for part in (self._prefix, function.__name__) if part)
            self._add(
                among,
                Reasoner(function, name=own, tags=(*self._tags, *tags), description=description),
            )
            return function

        return declare(name) if bare else declare

    def _add(self, among: dict[str, Reasoner], reasoner: Reasoner) -> None:
        for kind, taken in (("reasoner", self.reasoners), ("skill", self.skills)):
            if reasoner.name in taken:
                raise ValueError(f"{self._owner} has a {kind} {reasoner.name!r} already")
        among[reasoner.name] = reasoner
