"""Where checkpoints go besides the journal: a file on another disk, a webhook. Knows notes, no journal."""

import asyncio
import urllib.request
from http.client import HTTPException
from itertools import pairwise
from pathlib import Path
from typing import Protocol
from urllib.error import HTTPError

from agentfield_journal.durable_files import append_synced
from agentfield_journal.errors import JournalUnavailable

ROTATION_TITLE = "agentfield-journal key rotation"
"""The first line of a note that hands a key on and is no checkpoint."""

_TORN = " (cut short)\n\n"


class CheckpointPlace(Protocol):
    """Where a checkpoint goes besides the journal: somewhere its writer cannot rewrite."""

    async def publish(self, note: str) -> None: ...


class CheckpointFile:
    """Appends notes to a file, preferably on another disk or host; each is synced. `read_notes` reads it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def publish(self, note: str) -> None:
        try:
            await asyncio.to_thread(self._append, note)
        except OSError as error:
            raise JournalUnavailable(f"the checkpoint could not be written to {self._path}") from error

    def _append(self, note: str) -> None:
        append_synced(self._path, (_TORN if _is_torn(self._path) else "").encode() + note.encode() + b"\n")


def _is_torn(path: Path) -> bool:
    """Whether a crash cut the last note short."""
    if not path.exists() or (size := path.stat().st_size) == 0:
        return False
    with path.open("rb") as file:
        file.seek(max(size - 2, 0))
        return file.read() != b"\n\n"


def read_notes(path: Path) -> list[str]:
    """The checkpoints that a `CheckpointFile` wrote, oldest first, without what a crash cut short.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file.
    """
    parts = path.read_bytes().decode().split("\n\n")
    notes = [
        f"{text}\n\n{signatures}\n"
        for text, signatures in pairwise(parts[:-1])
        if signatures.startswith("\u2014 ") and not text.startswith((ROTATION_TITLE, "\u2014 "))
    ]
    whole = [note for note in notes if not note.endswith(_TORN.rstrip("\n") + "\n")]
    if not whole and path.stat().st_size:
        raise ValueError(f"{path} holds no checkpoint")
    return whole


def _poster() -> urllib.request.OpenerDirector:
    """Follows no redirection: a note would be fetched there, not posted, and the answer be its receipt."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    return opener


class CheckpointWebhook:
    """Posts notes as plain text; any answer but 2xx, or none within `timeout_s`, is a failure."""

    def __init__(self, url: str, *, timeout_s: float = 5.0) -> None:
        if not url.startswith(("https://", "http://")):
            raise ValueError("a checkpoint webhook is an http: or https: URL")
        self._url = url
        self._timeout_s = timeout_s

    async def publish(self, note: str) -> None:
        try:
            await asyncio.to_thread(self._post, note.encode())
        except (OSError, HTTPException) as error:
            raise JournalUnavailable("the checkpoint webhook did not take the checkpoint") from error

    def _post(self, note: bytes) -> None:
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        request = urllib.request.Request(self._url, data=note, headers=headers, method="POST")
        try:
            with _poster().open(request, timeout=self._timeout_s):
                """Anything but 2xx has been raised as an error."""
        except HTTPError as refusal:
            refusal.close()
            raise
