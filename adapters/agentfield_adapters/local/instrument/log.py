"""Everything that came in and went out, in order, for assertions. Audio as sizes and digests unless asked.

This is the log of a test provider: it holds what was said. It is kept only when it was asked for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO, cast

from agentfield_adapters.local.faults.fault import Fault

ENTRIES_MAX = 200_000
_AUDIO_DELTA = "response.output_audio.delta"
_SOUNDS = ("audio", "input_audio")  # of a streamed completion and of its request
_DIGEST_CHARACTERS = 16

Entry = dict[str, Any]


class ConnectionLog(Protocol):
    """The log of one connection."""

    def received(self, data: str | bytes, fault: Fault | None) -> None:
        """A frame came from the client; a fault may have swallowed it."""
        ...

    def sent(self, text: str, fault: Fault | None) -> None:
        """An event went to the client, or met a fault."""
        ...

    def ended(self) -> None:
        """The connection is gone."""
        ...


class Unlogged:
    """Keeps nothing."""

    def received(self, data: str | bytes, fault: Fault | None) -> None:
        """Keep nothing."""

    def sent(self, text: str, fault: Fault | None) -> None:
        """Keep nothing."""

    def ended(self) -> None:
        """Keep nothing."""


class Log:
    """Entries of all connections, numbered from 1; of very many, the newest.

    Args:
        path: Also written there, one JSON object a line, as it happens.
        with_audio: Keep audio as it is.
    """

    def __init__(self, *, path: Path | None = None, with_audio: bool = False) -> None:
        self._entries: deque[Entry] = deque(maxlen=ENTRIES_MAX)
        self._numbers = itertools.count(1)
        self._connections = itertools.count(1)
        self._began_ns = time.monotonic_ns()
        self._with_audio = with_audio
        self._file: TextIO | None = None if path is None else path.open("w", encoding="utf-8")

    def connection(self, where: str, *, setup: str, call_id: str | None = None) -> Connection:
        """Begin the log of a connection; `setup` is the name its setup was given."""
        about = {"connection": f"c{next(self._connections)}", "setup": setup, "where": where}
        if call_id is not None:
            about["call_id"] = call_id
        self._add({**about, "what": "opened"})
        return Connection(about, self._add, with_audio=self._with_audio)

    def request(self, where: str, *, setup: str, status: int) -> None:
        """A request without a websocket was answered, or a websocket refused."""
        self._add({"setup": setup, "where": where, "what": "request", "status": status})

    def entries(self, **wanted: str) -> Sequence[Entry]:
        """Return the entries whose fields have these values."""
        return [
            entry
            for entry in self._entries
            if all(str(entry.get(key)) == value for key, value in wanted.items())
        ]

    def clear(self) -> None:
        """Forget all entries; numbers go on."""
        self._entries.clear()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _add(self, entry: Entry) -> None:
        at_ms = (time.monotonic_ns() - self._began_ns) // 1_000_000
        entry = {"n": next(self._numbers), "at_ms": at_ms, **entry}
        self._entries.append(entry)
        if self._file is not None:
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()


class Connection:
    """The log of one connection (`ConnectionLog`)."""

    def __init__(self, about: Entry, add: Callable[[Entry], None], *, with_audio: bool) -> None:
        self._about = about
        self._add = add
        self._with_audio = with_audio

    def received(self, data: str | bytes, fault: Fault | None) -> None:
        """A frame came from the client."""
        self._event("received", data, fault)

    def sent(self, text: str, fault: Fault | None) -> None:
        """An event went to the client, or met a fault."""
        self._event("sent", text, fault)

    def ended(self) -> None:
        """The connection is gone."""
        self._add({**self._about, "what": "ended"})

    def _event(self, what: str, data: str | bytes, fault: Fault | None) -> None:
        entry = {**self._about, "what": what}
        try:
            event = json.loads(data)
        except ValueError:
            entry["unreadable_bytes"] = len(data)
        else:
            fields: Entry = cast(Entry, event) if isinstance(event, dict) else {}
            entry["type"] = fields.get("type", fields.get("object"))
            entry["event"] = event if self._with_audio else _without_audio(event)
        if fault is not None:
            entry["fault"] = str(fault.knob)
        self._add(entry)


def _without_audio(event: Any) -> Any:
    """Return `event` with its audio as `{"bytes": N, "sha256": "…"}`."""
    if isinstance(event, list):
        return [_without_audio(part) for part in cast(list[object], event)]
    if not isinstance(event, dict):
        return event
    fields = cast(Entry, event)
    sound_key = "delta" if fields.get("type") == _AUDIO_DELTA else "audio"
    return {
        name: _digest(value) if name == sound_key and isinstance(value, str) else _part(name, value)
        for name, value in fields.items()
    }


def _part(name: str, value: Any) -> Any:
    if name in _SOUNDS and isinstance(value, dict) and isinstance(cast(Entry, value).get("data"), str):
        return {**cast(Entry, value), "data": _digest(cast(Entry, value)["data"])}
    return _without_audio(value)


def _digest(audio_base64: str) -> Entry:
    try:
        audio = base64.b64decode(audio_base64, validate=True)
    except (binascii.Error, ValueError):
        return {"not_base64_characters": len(audio_base64)}
    return {"bytes": len(audio), "sha256": hashlib.sha256(audio).hexdigest()[:_DIGEST_CHARACTERS]}
