"""How much nonsense of a provider a session bears: one event is skipped, ten in a minute are its end."""

from agentfield_rt.errors import ConnectionLost, Reason

MALFORMED_MAX = 10
WITHIN_S = 60.0


class Patience:
    """Counts one session's malformed events."""

    __slots__ = ("_at_s",)

    def __init__(self) -> None:
        self._at_s: list[float] = []  # small while it is empty, as in most sessions

    def wear(self, now_s: float) -> ConnectionLost | None:
        """One more came: the end of the session, if that was one too many."""
        self._at_s.append(now_s)
        del self._at_s[:-MALFORMED_MAX]
        if len(self._at_s) < MALFORMED_MAX or now_s - self._at_s[0] >= WITHIN_S:
            return None
        return ConnectionLost(
            f"the provider sent {MALFORMED_MAX} malformed events in a minute",
            reason=Reason.PROTOCOL,
            retryable=False,
        )
