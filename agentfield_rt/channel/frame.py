"""Frames as they are on the wire: one JSON object each, a message inside it or none."""

from typing import Generic, TypeVar

import msgspec

from agentfield_rt.channel.delivery import ProtocolBroken
from agentfield_rt.channel.message import MESSAGE_BYTES_MAX, Message
from agentfield_rt.channel.to_agent import ToAgent
from agentfield_rt.channel.to_plane import ToPlane

M = TypeVar("M")

_ENCODER = msgspec.json.Encoder()


class Frame(msgspec.Struct, Generic[M], frozen=True, gc=False, omit_defaults=True):
    """What one end sends at once.

    Attributes:
        seq: The message's number, from 1 on; 0 for `hello`, `welcome` and `refused`, which are not counted.
        ack: The last seq of the other end's that was received.
        message: None in a frame that only tells `ack`, or that its sender is alive.
    """

    seq: int = 0
    ack: int = 0
    message: M | None = None


class _Outgoing(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A frame whose message is encoded already."""

    seq: int = 0
    ack: int = 0
    message: msgspec.Raw | None = None


class MessageTooLarge(ValueError):
    """A message that would not fit into a frame; nothing was sent."""


_ROOM_BYTES = 128
"""What a frame has around its message."""


def encode_message(message: Message) -> bytes:
    """A message as JSON.

    Raises:
        MessageTooLarge: it does not fit into a frame.
        TypeError, ValueError: something in it has no JSON form.
    """
    encoded = _ENCODER.encode(message)
    if len(encoded) > MESSAGE_BYTES_MAX - _ROOM_BYTES:
        raise MessageTooLarge(
            f"{type(message).__name__} takes {len(encoded)} bytes; the channel carries "
            f"{MESSAGE_BYTES_MAX - _ROOM_BYTES}: pass on where it is kept, or have the agent reached by HTTP"
        )
    return encoded


def encode_frame(message: bytes | None, *, seq: int = 0, ack: int = 0) -> str:
    """A frame around an encoded message."""
    raw = None if message is None else msgspec.Raw(message)
    return _ENCODER.encode(_Outgoing(seq, ack, raw)).decode()


class FrameDecoder(Generic[M]):
    """Decodes the frames of one direction."""

    def __init__(self, decoder: msgspec.json.Decoder[Frame[M]]) -> None:
        self._decoder = decoder

    def __call__(self, frame: str | bytes) -> Frame[M]:
        """A frame that was received.

        Raises:
            ProtocolBroken: it is none; says where, and not what stood there.
        """
        if len(frame) > MESSAGE_BYTES_MAX:
            raise ProtocolBroken(f"a frame has at most {MESSAGE_BYTES_MAX} bytes")
        try:
            return self._decoder.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProtocolBroken(f"this is no frame: {_without_values(error)}") from None


def _without_values(error: Exception) -> str:
    """What a person needs to mend it; msgspec quotes an unknown tag or enum value, which could be content."""
    text = str(error)
    return text.split("'")[0].strip() if text.startswith("Invalid") else text


frames_to_plane = FrameDecoder[ToPlane](msgspec.json.Decoder(Frame[ToPlane]))
frames_to_agent = FrameDecoder[ToAgent](msgspec.json.Decoder(Frame[ToAgent]))
