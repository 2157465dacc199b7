"""The user as the provider hears them: whether they speak, and turns whose words are still to come.

A turn has its id from the moment it ends, since an answer to it may be over before its words come.
"""

import secrets
from dataclasses import dataclass

from agentfield_rt.ports import Clock

AWAITED_MAX = 16
"""Turns whose words are still to come. Should those of an older one come, it is another turn."""


def new_turn_id() -> str:
    return f"turn_{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """A turn that has ended.

    Attributes:
        until_ns: When the user fell silent, where anybody said so.
        by_hand: The user said that it has ended; the provider calls it by a name that it never told.
    """

    turn_id: str
    until_ns: int | None = None
    by_hand: bool = False


class Speaking:
    """The user of one session.

    Args:
        silence_ms: How long after the user fell silent the provider says so.

    Attributes:
        is_going_on: Whether the user speaks now.
        latest: The turn that ended last. An answer that begins now answers it, and those before.
    """

    def __init__(self, clock: Clock, *, silence_ms: int) -> None:
        self._clock = clock
        self._silence_ns = silence_ms * 1_000_000
        self._awaited: dict[str, SpokenTurn] = {}
        self.is_going_on = False
        self.latest: str | None = None

    @property
    def awaits_words(self) -> bool:
        """Whether the words of the turn that ended last are still to come."""
        return any(spoken.turn_id == self.latest for spoken in self._awaited.values())

    def begins(self) -> None:
        self.is_going_on = True

    def ends(self, item_id: str) -> None:
        """The provider has heard the end of a turn."""
        self.is_going_on = False
        self._await(item_id, SpokenTurn(new_turn_id(), self._clock() - self._silence_ns))

    def ended_by_hand(self, frame_id: str) -> None:
        """The user says that their turn has ended, and the provider has taken the frame that tells it."""
        self._await(frame_id, SpokenTurn(new_turn_id(), self._clock(), by_hand=True))

    def typed(self, turn_id: str) -> None:
        """The user typed a turn."""
        self.latest = turn_id

    def words_came(self, item_id: str) -> SpokenTurn:
        """The turn whose words these are."""
        if (spoken := self._awaited.pop(item_id, None)) is not None:
            return spoken
        for name, spoken in self._awaited.items():
            if spoken.by_hand:
                del self._awaited[name]
                return spoken
        spoken = SpokenTurn(new_turn_id())
        self.latest = spoken.turn_id
        return spoken

    def was_nothing(self, frame_id: str) -> None:
        """The provider heard nothing that could be a turn: no words will come."""
        self._awaited.pop(frame_id, None)

    def breaks_off(self) -> None:
        """The connection is gone: nobody will report the end of what is being said, nor its words."""
        self.is_going_on = False
        self._awaited.clear()

    def _await(self, name: str, spoken: SpokenTurn) -> None:
        self._awaited[name] = spoken
        self.latest = spoken.turn_id
        if len(self._awaited) > AWAITED_MAX:
            del self._awaited[next(iter(self._awaited))]
