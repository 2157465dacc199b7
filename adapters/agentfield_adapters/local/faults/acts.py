"""What becomes of one event that a fault strikes: a few acts in order. Pure; others perform them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentfield_adapters.local.faults.damage import Shape, enlarged, unreadable
from agentfield_adapters.local.faults.fault import Fault, Knob

EXPIRED_CODE = 1001
EXPIRED_REASON = "Your session hit the maximum duration of 60 minutes."


@dataclass(frozen=True, slots=True)
class Send:
    """A text frame; bytes go as they are, valid or not, or in a binary frame."""

    data: str | bytes
    binary: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Everything waits."""

    ms: int


@dataclass(frozen=True, slots=True)
class Hold:
    """This text goes after the next event."""

    text: str


@dataclass(frozen=True, slots=True)
class CloseFrame:
    """The end, in good order."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reset:
    """The end, without a word."""


@dataclass(frozen=True, slots=True)
class FallSilent:
    """Nothing more is sent; a deaf end does not read either, so no ping is answered."""

    deaf: bool


Act = Send | Pause | Hold | CloseFrame | Reset | FallSilent


class Passage:
    """One connection's events on their way out, in order: what becomes of each."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._held: list[Act] = []
        self.is_over = False

    def acts(self, text: str, fault: Fault | None) -> Sequence[Act]:
        """Return what is done in place of sending an event; after the end, nothing."""
        if self.is_over:
            return ()
        if fault is None and not self._held:
            return (Send(text),)
        acts = [Send(text)] if fault is None else acts_for(fault, text, self._shape)
        held, self._held = self._held, list[Act](Send(act.text) for act in acts if isinstance(act, Hold))
        self.is_over = any(isinstance(act, CloseFrame | Reset | FallSilent) for act in acts)
        return [*(act for act in acts if not isinstance(act, Hold)), *held]


def acts_for(fault: Fault, text: str, shape: Shape) -> Sequence[Act]:
    """Return what is done in place of sending the event `text`."""
    return _ACTS[fault.knob](fault, text, shape)


def _expired(fault: Fault, text: str, shape: Shape) -> Sequence[Act]:
    error = shape.error_before(text, "session_expired", EXPIRED_REASON)
    return [Send(error), CloseFrame(EXPIRED_CODE, EXPIRED_REASON)]


def _error(fault: Fault, text: str, shape: Shape) -> Sequence[Act]:
    return [Send(shape.error_before(text, str(fault.option()), "This fault was asked for.")), Send(text)]


def _malformed(fault: Fault, text: str, shape: Shape) -> Sequence[Act]:
    how = str(fault.option())
    return [Send(text.encode(), binary=True) if how == "binary" else Send(unreadable(text, how))]


_ACTS: dict[Knob, Callable[[Fault, str, Shape], Sequence[Act]]] = {
    Knob.HANG: lambda fault, text, shape: [FallSilent(deaf=False)],
    Knob.HALF_OPEN: lambda fault, text, shape: [FallSilent(deaf=True)],
    Knob.DROP: lambda fault, text, shape: [Reset()],
    Knob.CLOSE: lambda fault, text, shape: [CloseFrame(int(fault.option() or 0), fault.reason or "")],
    Knob.EXPIRE: _expired,
    Knob.SKIP: lambda fault, text, shape: [],
    Knob.DUPLICATE: lambda fault, text, shape: [Send(text), Send(text)],
    Knob.REORDER: lambda fault, text, shape: [Hold(text)],
    Knob.DELAY: lambda fault, text, shape: [Pause(int(fault.option() or 0)), Send(text)],
    Knob.MALFORMED: _malformed,
    Knob.OVERSIZED: lambda fault, text, shape: [Send(enlarged(text, int(fault.option() or 0)))],
    Knob.UNKNOWN_EVENT: lambda fault, text, shape: [Send(shape.stranger_before(text)), Send(text)],
    Knob.ERROR: _error,
    Knob.TRUNCATED_AUDIO: lambda fault, text, shape: [
        Send(shape.without_some_audio(text, str(fault.option())))
    ],
    Knob.WRONG_CALL_ID: lambda fault, text, shape: [Send(shape.with_wrong_call_id(text))],
}
