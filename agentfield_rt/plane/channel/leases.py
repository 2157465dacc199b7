"""How long an agent at the end of a channel may be silent."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Leases:
    """The plane's patience.

    Attributes:
        lease_s: Whoever was not heard for so long is gone: its turns and executions fail, or are done by
            another instance. A handler for which there is no instance waits so long for one.
        keep_alive_s: An end that has nothing to say says so this often.
    """

    lease_s: float = 10.0
    keep_alive_s: float = 3.0
