"""How this process writes its logs: lines of text or of JSON, with fields from a list and nothing else.

Content is in no line: callers of `logging` pass ids and codes, and the text of an exception, which may repeat
what somebody said or sent, is left out below DEBUG. What looks like a key is cut out everywhere.
"""

import logging
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import cast

import msgspec
from pydantic import SecretStr

from agentfield_rt.config import Settings

OURS = ("agentfield_rt", "agentfield_journal", "agentfield_adapters")

QUOTE_CALLERS = ("opentelemetry.baggage.propagation", "opentelemetry.trace.span")
"""Warn of headers that callers sent, and quote them whole: anybody could write anything into the log."""

FIELDS = (
    "request_id",
    "method",
    "route",
    "status",
    "duration_ms",
    "kind",
    "run_id",
    "session_id",
    "turn_id",
    "execution_id",
    "node_id",
    "op_id",
    "target",
    "provider",
    "transport",
    "reason",
)
"""What a line may say besides its message; other attributes of a log record are not written."""

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request that is being served, for its lines and those of what it began."""

_KEYS = re.compile(
    r"(?:sk|pk|rk|whsec|xox[abp]|gh[pousr]|key)[-_][\w./+=-]{8,}|(?i:bearer|basic)\s+[\w./+=~-]{8,}"
    r"|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"
)
_CUT = "[cut]"
_SECRET_CHARS_MIN = 6


class _Formatter(logging.Formatter):
    """What both forms share.

    Args:
        secrets: Live secrets of this process; no line shows one, whoever wrote it.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = tuple(secret for secret in secrets if len(secret) >= _SECRET_CHARS_MIN)

    def told(self, record: logging.LogRecord) -> dict[str, object]:
        """Its fields that are on the list."""
        fields = {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
        if "request_id" not in fields and (request_id := REQUEST_ID.get()) is not None:
            fields = {"request_id": request_id, **fields}
        return {name: self.cut(value) if isinstance(value, str) else value for name, value in fields.items()}

    def message(self, record: logging.LogRecord) -> str:
        return self.cut(record.getMessage())

    def trouble(self, record: logging.LogRecord) -> str | None:
        """Where an exception came from: its type and its frames; its text at DEBUG only."""
        if not record.exc_info or record.exc_info[1] is None:
            return None
        if logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
            return self.cut(self.formatException(record.exc_info))
        return "\n".join(_frames(record.exc_info[1]))

    def cut(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _CUT)
        return _KEYS.sub(_CUT, text)


class JsonFormatter(_Formatter):
    """A line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.message(record),
            **self.told(record),
        }
        if (trouble := self.trouble(record)) is not None:
            line["exception"] = trouble
        return msgspec.json.encode(line, enc_hook=str).decode()


class TextFormatter(_Formatter):
    """A line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        fields = " ".join(f"{name}={value}" for name, value in self.told(record).items())
        line = f"{at} {record.levelname:<7} {record.name}: {self.message(record)}"
        line = f"{line} ({fields})" if fields else line
        trouble = self.trouble(record)
        return _one_line(line) if trouble is None else f"{_one_line(line)}\n{trouble}"


def _one_line(text: str) -> str:
    """A message cannot forge a second line."""
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _frames(error: BaseException) -> list[str]:
    """The types of an exception and of what led to it, innermost first, with where each was raised."""
    lines: list[str] = []
    seen: set[int] = set()
    here: BaseException | None = error
    while here is not None and id(here) not in seen:
        seen.add(id(here))
        lines.append(f"{type(here).__module__}.{type(here).__qualname__}")
        lines += [
            f"  {frame.filename}:{frame.lineno} in {frame.name}"
            for frame in traceback.extract_tb(here.__traceback__, limit=-20)
        ]
        here = here.__cause__ or (None if here.__suppress_context__ else here.__context__)
    return lines


def configure_logs(settings: Settings) -> None:
    """Write this process's logs to stderr, as the settings say; a host's own configuration stays."""
    root = logging.getLogger()
    if root.handlers:
        return
    form = JsonFormatter if settings.log_format == "json" else TextFormatter
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(form(_secrets(settings.__dict__)))
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(settings.log_level.upper())
    for name in QUOTE_CALLERS:
        logging.getLogger(name).setLevel(logging.ERROR)


def _secrets(values: Mapping[str, object]) -> list[str]:
    found: list[str] = []
    for value in values.values():
        if isinstance(value, SecretStr):
            found.append(value.get_secret_value())
        elif isinstance(value, dict):
            found += _secrets(cast(dict[str, object], value))
    return found
