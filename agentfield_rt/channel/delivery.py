"""Delivers messages once and in order over wires that break. Pure: no clock, no loop, no socket.

Each direction counts its messages 1, 2, 3 …; what was sent is kept until the other end says that it was
received, and sent again on the next wire. What comes twice is taken once.
"""

from collections import OrderedDict
from collections.abc import Iterator

from agentfield_rt.errors import RealtimeError

UNRECEIVED_MAX = 4_096
UNRECEIVED_BYTES_MAX = 16 * 1024 * 1024


class ChannelFull(RealtimeError):
    """The other end has received nothing for so long that no more can be kept for it."""


class ProtocolBroken(RealtimeError):
    """The other end does not keep to the protocol; the wire is closed."""


class Outbox:
    """What was posted and is not known to be received."""

    __slots__ = ("_bytes", "_bytes_max", "_kept", "_messages_max", "posted", "received")

    def __init__(self, *, messages_max: int = UNRECEIVED_MAX, bytes_max: int = UNRECEIVED_BYTES_MAX) -> None:
        self._kept = OrderedDict[int, bytes]()
        self._bytes = 0
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self.posted = 0
        self.received = 0

    def post(self, message: bytes) -> int:
        """Keep an encoded message for sending; its seq.

        Raises:
            ChannelFull: too many wait, or too large ones; it was not taken.
        """
        too_many = len(self._kept) >= self._messages_max
        if too_many or (self._kept and self._bytes + len(message) > self._bytes_max):
            raise ChannelFull(
                f"{len(self._kept)} messages ({self._bytes} bytes) wait to be received by the other end"
            )
        self.posted += 1
        self._kept[self.posted] = message
        self._bytes += len(message)
        return self.posted

    def acknowledge(self, seq: int) -> None:
        """The other end has received everything up to `seq`.

        Raises:
            ProtocolBroken: more than was ever posted.
        """
        if seq > self.posted:
            raise ProtocolBroken(f"the other end received message {seq}; only {self.posted} were sent")
        while self.received < seq:
            self.received += 1
            self._bytes -= len(self._kept.pop(self.received))

    def after(self, seq: int) -> Iterator[tuple[int, bytes]]:
        """What was posted behind `seq` and is not known to be received, as it stands while it is read."""
        at = max(seq, self.received) + 1
        while (message := self._kept.get(at)) is not None:
            yield at, message
            at = max(at, self.received) + 1


class Inbox:
    """How far the other end's messages have come."""

    __slots__ = ("received",)

    def __init__(self) -> None:
        self.received = 0

    def take(self, seq: int) -> bool:
        """Whether the message `seq` is new.

        Raises:
            ProtocolBroken: one before it is missing; on a new wire the other end goes on behind `received`.
        """
        if seq <= self.received:
            return False
        if seq != self.received + 1:
            raise ProtocolBroken(f"message {seq} came after message {self.received}")
        self.received = seq
        return True
