"""What the service says of a caller's keys. The one event that has no id."""

from __future__ import annotations

from msgspec import Struct


class DigitReceived(Struct, frozen=True, tag="input_audio_buffer.dtmf_event_received"):
    """A key of the caller's telephone; `received_at` in seconds since the epoch."""

    event: str
    received_at: int
