"""A NATS server as a URL names it: its address, whether it syncs, what it did wrong. Extra: `nats`."""

import json
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPException
from urllib.parse import SplitResult, urlsplit

import nats.errors
from nats.js.errors import APIError

from agentfield_journal.errors import JournalFull, JournalUnavailable

_NO_ROOM = {10023, 10047, 10077}  # insufficient resources, storage, message limits


def address(parts: SplitResult) -> str:
    """The servers that a journal's URL names, as the client reads them.

    Raises:
        ValueError: a port is none.
    """
    for host in parts.netloc.split(","):
        try:
            _ = urlsplit(f"nats://{host}").port
        except ValueError:  # which may quote a password
            raise ValueError("the journal's URL names a port that is none; ports are 1 to 65535") from None
    return f"nats://{parts.netloc}"


def require_sync(monitor: str) -> None:
    """Ask the server's monitor whether it syncs before it acknowledges."""
    hint = (
        "start it with `jetstream { sync_interval: always }` (nats-server 2.10 or newer) and name its"
        " monitor with ?monitor=http://host:8222, or use nats-unsynced: and accept that a power cut may"
        " lose records"
    )
    if not monitor.startswith(("http://", "https://")):
        raise JournalUnavailable(f"nothing shows that this NATS server syncs what it acknowledges: {hint}")
    try:
        with urllib.request.urlopen(f"{monitor.rstrip('/')}/varz", timeout=5) as answer:
            settings = json.load(answer)["jetstream"]["config"]
    except (OSError, HTTPException, OverflowError, ValueError, KeyError, TypeError) as error:
        raise JournalUnavailable(
            f"the monitor at {monitor.rpartition('@')[2]} does not tell whether the server syncs"
        ) from error
    if settings.get("sync_always") is not True:
        raise JournalUnavailable(f"this NATS server acknowledges before it syncs: {hint}")


@contextmanager
def typed_errors() -> Generator[None]:
    try:
        yield
    except APIError as error:
        if error.err_code in _NO_ROOM:
            raise JournalFull("the NATS server has no room; free some and reopen the journal") from error
        raise JournalUnavailable(
            f"the NATS server refused ({error.err_code}); reopen the journal and read before going on"
        ) from error
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise JournalUnavailable(
            f"the NATS server failed: {type(error).__name__}; reopen the journal and read before going on"
        ) from error
