"""A session over plain HTTP: start it, type a turn, and follow what happens in it.

af serve examples/voice_support.py &
python examples/http_client.py "Where is order four?"
"""

import json
import os
import sys
from typing import Any

import httpx

SERVER = os.environ.get("AGENTFIELD_SERVER", "http://localhost:8080")
QUESTION = sys.argv[1] if len(sys.argv) > 1 else "Where is order four?"

with httpx.Client(base_url=f"{SERVER}/api/v1", timeout=30) as plane:
    started = plane.post("/session-targets/voice-support.voice-websocket/start").raise_for_status().json()
    session = f"/session-instances/{started['session_id']}"
    plane.post(f"{session}/input", json={"text": QUESTION}).raise_for_status()
    with plane.stream("GET", f"{session}/events") as events:
        for line in events.iter_lines():
            field, _, value = line.partition(": ")
            record: dict[str, Any] = json.loads(value) if field == "data" else {}
            kind = record.get("kind", "realtime")
            if not kind.startswith("realtime"):  # those are about the provider
                print(f"{kind:20}", *record.get("content", {}).values())
            if kind == "turn_completed":
                plane.post(f"{session}/close").raise_for_status()
