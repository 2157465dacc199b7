"""The event of which the session benchmarks are about, as a provider sends it."""

import base64
import json

RESPONSE_ID = "resp_BvK2pQ9xL4mN8"
AUDIO_EVENT = json.dumps(
    {
        "type": "response.output_audio.delta",
        "event_id": "event_BvK2pQ9xL4mN8000001",
        "response_id": RESPONSE_ID,
        "item_id": "item_BvK2pQ9xL4mN8",
        "output_index": 0,
        "content_index": 0,
        "delta": base64.b64encode(bytes(960)).decode(),
    }
).encode()
"""20 ms of mono int16 PCM at 24 kHz."""
