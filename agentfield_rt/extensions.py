"""What installed packages bring, by the names under which they registered it: the look-up of entry points."""

from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from agentfield_rt.errors import RealtimeError

T = TypeVar("T")


class NotInstalled(RealtimeError):
    """Nothing usable is installed under a name.

    Attributes:
        known: The names under which something is.
        lacks: The module that it needs and that is missing, where something is installed.
    """

    def __init__(self, group: str, name: str, *, known: tuple[str, ...], lacks: str | None = None) -> None:
        why = (
            "no installed package brings it" if lacks is None else f"it needs {lacks}, which is not installed"
        )
        super().__init__(f"{group} {name}: {why}")
        self.known = known
        self.lacks = lacks


class Extensions(Generic[T]):
    """One group of entry points, each of which is a `T`.

    Args:
        group: Its name; it is for ever, since other packages register under it.
    """

    def __init__(self, group: str) -> None:
        self.group = group

    def load(self, name: str) -> T:
        """What is installed under `name`.

        Raises:
            NotInstalled: nothing is, or it lacks what it needs.
        """
        entry = self._entry(name)
        try:
            loaded: T = entry.load()
        except ImportError as error:
            lacks = error.name or "a package"
            raise NotInstalled(self.group, name, known=self._known(), lacks=lacks) from error
        return loaded

    def value(self, name: str) -> str:
        """Where it is, such as `package.module:name`; nothing is imported.

        Raises:
            NotInstalled: nothing is installed under `name`.
        """
        return self._entry(name).value

    def _entry(self, name: str) -> EntryPoint:
        for entry in entry_points(group=self.group, name=name):
            return entry
        raise NotInstalled(self.group, name, known=self._known())

    def _known(self) -> tuple[str, ...]:
        return tuple(sorted({entry.name for entry in entry_points(group=self.group)}))
