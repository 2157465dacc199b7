"""Which faults, against which adapters, with how much patience."""

from __future__ import annotations

from collections.abc import Sequence

from agentfield_adapters.openai import (
    calls,
    dialing,
    local_webrtc_adapter,
    local_websocket_adapter,
    stalls,
    webrtc_adapter,
    websocket_adapter,
)
from agentfield_adapters.openrouter import audio_turns_adapter, local_audio_turns_adapter, turns
from agentfield_rt.ports import AdapterFactory

PAIRS: dict[str, dict[str, AdapterFactory]] = {
    "websocket": {"openai/websocket": websocket_adapter, "local/websocket": local_websocket_adapter},
    "webrtc": {"openai/webrtc": webrtc_adapter, "local/webrtc": local_webrtc_adapter},
    "audio_turns": {
        "openrouter/audio_turns": audio_turns_adapter,
        "local/audio_turns": local_audio_turns_adapter,
    },
}
FACTORIES = {pair: factory for pairs in PAIRS.values() for pair, factory in pairs.items()}
PATIENCE_S: Sequence[tuple[object, str, float]] = (
    (dialing, "OPEN_S", 4.0),
    (dialing, "PING_EVERY_S", 2.0),
    (dialing, "PONG_WITHIN_S", 3.0),
    (calls, "CREATE_S", 5.0),
    (stalls, "STALLED_S", 4.0),
    (turns, "FIRST_PIECE_S", 5.0),
    (turns, "NEXT_PIECE_S", 4.0),
)
"""Less than the adapters have, so that a run takes a minute."""
_TURN = "after=response.create"
REALTIME_FAULTS: tuple[str, ...] = (
    "refuse",
    "status=401",
    "status=429,retry_after_s=2",
    "status=500",
    "status=503",
    "hang",
    f"hang_at=2,{_TURN}",
    f"half_open_at=2,{_TURN}",
    f"drop_at=2,{_TURN}",
    f"drop_at=8,{_TURN}",
    f"close=1000,at=2,{_TURN}",
    f"close=1011,at=2,{_TURN}",
    "close=3000,reason=invalid_request_error.invalid_api_key",
    f"expire_at=2,{_TURN}",
    f"skip_at=1,{_TURN}",
    f"skip_at=8,{_TURN}",
    f"duplicate_at=7,{_TURN}",
    f"duplicate_at=8,{_TURN}",
    f"reorder_at=7,{_TURN}",
    f"delay=300,at=2,{_TURN}",
    f"malformed=cut,at=2,{_TURN}",
    f"malformed=utf8,at=2,{_TURN}",
    f"malformed=types,at=1,{_TURN}",
    f"malformed=binary,at=2,{_TURN}",
    "malformed=cut,times=0",
    "malformed=cut,times=0,type=response.output_audio_transcript.delta",
    f"oversized_at=2,{_TURN}",
    f"unknown_event_at=2,{_TURN}",
    f"error=server_error,at=2,{_TURN}",
    "truncated_audio=odd",
    "truncated_audio=tail",
    "truncated_audio=base64",
    "wrong_call_id",
    "swallow,type=conversation.item.create",
    "swallow,type=response.create",
)
CHAT_FAULTS: tuple[str, ...] = (
    "refuse",
    "status=401",
    "status=429,retry_after_s=2",
    "status=500",
    "status=503",
    "refuse,where=chat",
    "status=401,where=chat",
    "status=429,where=chat",
    "status=503,where=chat",
    "hang,where=chat",
    "hang_at=2",
    "half_open_at=2",
    "drop_at=1",
    "drop_at=2",
    "close_at=2",
    "expire_at=2",
    "skip_at=2",
    "skip,type=finish",
    "skip,type=done",
    "duplicate_at=1",
    "reorder_at=1",
    "delay=300,at=2",
    "malformed=cut,at=1",
    "malformed=utf8,at=1",
    "malformed=types,at=1",
    "malformed=cut,times=0",
    "oversized_at=1",
    "unknown_event_at=2",
    "error=server_error,at=2",
    "error=rate_limit_exceeded,at=2",
    "error=insufficient_quota,at=2",
    "truncated_audio=odd",
    "truncated_audio=tail",
    "truncated_audio=base64",
    "wrong_call_id",
)
FAULTS: dict[str, tuple[str, ...]] = {
    "websocket": REALTIME_FAULTS,
    # A sideband carries no audio.
    "webrtc": tuple(fault for fault in REALTIME_FAULTS if not fault.startswith("truncated_audio")),
    "audio_turns": CHAT_FAULTS,
}
