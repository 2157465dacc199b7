"""User audio that nobody has understood yet, so that a new connection can hear it again. Knows no socket.

The provider's side of it dies with a connection: what was said and is no turn yet would be lost.
"""

from collections import deque
from collections.abc import Iterator

from agentfield_rt.frames import (
    BYTES_PER_MS,
    InputRejected,
    InputTranscript,
    ProviderEvent,
    SpeechStarted,
    SpeechStopped,
)

UNNOTICED_MS = 10_000
"""Audio of which nothing was heard is kept so long: it takes that time to notice that nobody reads."""
BEFORE_SPEECH_MS = 1_000
"""A turn begins so long before the provider says so, at most."""
KEPT_MAX_MS = 30_000
"""Of a longer turn the beginning is forgotten; 1.4 MB."""
_TURNS_MAX = 16
_PART_BYTES = 1_000 * BYTES_PER_MS

_SPEECH = (SpeechStarted, SpeechStopped, InputTranscript, InputRejected)


class HeldAudio:
    """The end of what the user said: mono int16 PCM at 24 kHz. Places in it are counted in bytes."""

    def __init__(self) -> None:
        self._frames: deque[bytes] | None = None  # an empty one is large, and most sessions have none
        self._end = 0
        self._kept_bytes = 0
        self._understood = 0
        self._began: dict[str, int] = {}
        self._stopped: dict[str, int] = {}
        self._turn_ends: list[int] = []

    def add(self, pcm: bytes) -> None:
        """This goes to the provider."""
        if self._frames is None:
            self._frames = deque()
        self._frames.append(pcm)
        self._end += len(pcm)
        self._kept_bytes += len(pcm)
        self._trim()

    def end_turn(self) -> None:
        """The user has finished a turn, where nobody detects that."""
        self._turn_ends.append(self._end)
        del self._turn_ends[:-_TURNS_MAX]

    def take(self, events: tuple[ProviderEvent, ...]) -> None:
        """The runtime was given these: a turn that is among them is understood."""
        for event in events:
            if isinstance(event, _SPEECH):
                self._note(event)

    def again(self) -> Iterator[bytes | None]:
        """What a new connection must hear, in pieces of at most a second; None where a turn ended."""
        self._trim()
        self._began.clear()
        self._stopped.clear()
        place, part = self._end - self._kept_bytes, bytearray()
        ends = [end for end in self._turn_ends if end > self._understood]
        for frame in tuple(self._frames or ()):
            part += frame
            place += len(frame)
            is_end = bool(ends) and place >= ends[0]
            if is_end or len(part) >= _PART_BYTES:
                yield bytes(part)
                part.clear()
            while ends and place >= ends[0]:
                ends.pop(0)
                yield None
        if part:
            yield bytes(part)

    def _trim(self) -> None:
        floor = self._floor()
        while self._frames and self._end - self._kept_bytes + len(self._frames[0]) <= floor:
            self._kept_bytes -= len(self._frames.popleft())

    def _floor(self) -> int:
        """What lies before it nobody needs."""
        began = min(self._began.values(), default=self._end)
        needed = min(began - BEFORE_SPEECH_MS * BYTES_PER_MS, self._end - UNNOTICED_MS * BYTES_PER_MS)
        if self._turn_ends:
            needed = self._understood
        return max(needed, self._understood, self._end - KEPT_MAX_MS * BYTES_PER_MS)

    def _note(self, event: SpeechStarted | SpeechStopped | InputTranscript | InputRejected) -> None:
        match event:
            case SpeechStarted(item_id):
                self._began.setdefault(item_id, self._end)
                if len(self._began) > _TURNS_MAX:
                    del self._began[next(iter(self._began))]
            case SpeechStopped(item_id) if item_id in self._began:
                self._stopped[item_id] = self._end
            case InputTranscript(final=False) | SpeechStopped():
                pass
            case InputRejected(is_turn=False):  # what there is of it, the provider counts to the next turn
                del self._turn_ends[-1:]
            case _:
                self._understand(event.item_id)

    def _understand(self, item_id: str) -> None:
        began, stopped = self._began.pop(item_id, None), self._stopped.pop(item_id, None)
        if began is None and self._turn_ends:
            stopped = self._turn_ends.pop(0)
        self._understood = max(self._understood, self._end if stopped is None else stopped)
