"""The shape of a scenario. Values only; how a file is read is in `reading`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from agentfield_adapters.local.faults.fault import Fault
from agentfield_adapters.local.protocol.session import SESSION_LIFETIME_S

TURNS_MAX, FAULTS_MAX, TRANSCRIPTS_MAX = 500, 100, 500
PACE_DEFAULT = 10.0


class FunctionToCall(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A function call of the assistant."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    arguments: dict[str, Any] = {}


class ScriptedTurn(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One answer; words come before calls.

    Attributes:
        when: The newest input must contain this, whatever the case. None: anything does.
        times: How often it may be given in one session; 0 is every time.
    """

    when: Annotated[str, Meta(min_length=1)] | None = None
    say: str | None = None
    call: FunctionToCall | list[FunctionToCall] | None = None
    times: Annotated[int, Meta(ge=0)] = 1

    def __post_init__(self) -> None:
        """Check that there is an answer.

        Raises:
            ValueError: There is none.
        """
        if self.say is None and not self.call:
            raise ValueError("a turn needs `say`, `call`, or both")

    @property
    def calls(self) -> list[FunctionToCall]:
        """The functions to call."""
        if self.call is None:
            return []
        return self.call if isinstance(self.call, list) else [self.call]


class Scenario(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one session meets.

    Attributes:
        about: For people.
        seed: Of ids, padding, sounds and chance, instead of the provider's.
        senses: `real` ears and mouth, or `synthetic` ones that load no model: speech is any sound that
            is not soft, understood as the next of `transcripts`, and answers are tones of 300 ms a word.
        pace: Of speech over a websocket, in times real time; `instant` waits for nothing.
        transcripts: What the synthetic ears understand, turn by turn; afterwards "hello".
        turns: The answers: of those left, the first that fits. When none does, the provider's rules answer.
        lifetime_s: How long a session over a websocket may live; the service's live for an hour.
        faults: What breaks.
    """

    about: str = ""
    seed: int | None = None
    senses: Literal["real", "synthetic"] = "real"
    pace: Annotated[float, Meta(gt=0.0)] | Literal["instant"] = PACE_DEFAULT
    transcripts: Annotated[list[str], Meta(max_length=TRANSCRIPTS_MAX)] = []
    turns: Annotated[list[ScriptedTurn], Meta(max_length=TURNS_MAX)] = []
    lifetime_s: Annotated[int, Meta(ge=1, le=SESSION_LIFETIME_S)] = SESSION_LIFETIME_S
    faults: Annotated[list[Fault | str], Meta(max_length=FAULTS_MAX)] = []
