"""Server-sent events: bytes in, the data of whole events out. Pure, bounded, knows no JSON."""

from agentfield_adapters.openrouter.failures import TurnFailed
from agentfield_rt.errors import Reason

EVENT_BYTES_MAX = 4 * 1024 * 1024


class EventSource:
    """One stream. Lines may end in LF, CRLF or CR and be cut anywhere between two pieces."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._after_cr = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the events that `piece` completes.

        Raises:
            TurnFailed: an event exceeds 4 MiB.
        """
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        if not piece:
            return []
        self._after_cr = piece.endswith(b"\r")
        events: list[bytes] = []
        *whole, rest = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            self._take(bytes(self._line) + line, events)
            self._line.clear()
        self._line += rest
        if len(self._line) + self._data_bytes > EVENT_BYTES_MAX:
            raise TurnFailed("the provider's event is too long", reason=Reason.PROTOCOL, not_done=False)
        return events

    def finish(self) -> list[bytes]:
        """The data of a last event that no empty line ended."""
        events: list[bytes] = []
        self._take(bytes(self._line), events)
        self._take(b"", events)
        self._line.clear()
        return events

    def _take(self, line: bytes, events: list[bytes]) -> None:
        if not line:
            if self._data:
                events.append(b"\n".join(self._data))
            self._data, self._data_bytes = [], 0
        elif line.startswith(b"data:"):
            data = line[5:].removeprefix(b" ")
            self._data.append(data)
            self._data_bytes += len(data)
        # Comments begin with a colon; no other field means anything here.
