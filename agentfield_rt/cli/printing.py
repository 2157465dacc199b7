"""What commands print: results on stdout, everything about them on stderr."""

import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable, Generator
from enum import StrEnum
from types import FrameType
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from agentfield_rt.cli.failures import ExitCode

_CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0))}
_WIDEST_COLUMNS = 1_000
_PIPED_COLUMNS = 200  # a table that is piped must not lose words to a width nobody sees


class Form(StrEnum):
    """How a result is written."""

    JSON = "json"
    PRETTY = "pretty"
    YAML = "yaml"


@functools.cache
def stdout() -> Console:
    """For results that people read."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPED_COLUMNS)


@functools.cache
def stderr() -> Console:
    """For progress and errors."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def counting(doing: str) -> Generator[Callable[[int], None]]:
    """Show on a terminal what is being done and, as the given function is told, to how many records."""
    with stderr().status(f"{doing} …") as status:
        yield lambda count: status.update(f"{doing} … {count} records")


@contextlib.contextmanager
def interruptible() -> Generator[None]:
    """Let Ctrl-C end the process at once. Only around what leaves nothing half done, such as reading.

    Else it would wait for the thread that reads, for as long as SQLite looks through a large file.
    """

    def end(_signal: int, _frame: FrameType | None) -> None:
        stderr().show_cursor()
        os._exit(ExitCode.INTERRUPTED)

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # in the background of a shell's script
        signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def literal(text: str) -> str:
    """`text` from a record as rich is to print it: not as markup, and with nothing that steers a terminal."""
    return escape(text.translate(_CONTROLS))


def listing(*columns: str) -> Table:
    """A table of rows that are asked for by what is in their first column."""
    first, *others = columns
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first, no_wrap=True)
    for column in others:
        table.add_column(column, overflow="fold")
    return table


def print_listing(table: Table) -> None:
    """Print a table and cut off no id and no word: where a terminal is too narrow, its lines run on."""
    console = stdout()
    needed = Measurement.get(console, console.options.update(max_width=_WIDEST_COLUMNS), table).minimum
    Console(highlight=False, width=max(console.width, needed)).print(table, crop=False)


def at_second(iso: str | None) -> str:
    """A time of the control plane's, ISO 8601, as people read it: UTC, to the second."""
    return literal((iso or "").partition(".")[0].replace("T", " "))


def complain(message: str) -> None:
    """Print an error as one line."""
    stderr().print(f"[bold red]af:[/bold red] {literal(' '.join(message.split()))}")


def write_result(value: Any, form: Form = Form.JSON) -> None:
    """Write `value` to stdout for a script (or, pretty and yaml, for a person)."""
    match form:
        case Form.JSON:
            text = msgspec.json.encode(value).decode()
        case Form.PRETTY:
            text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
        case Form.YAML:
            text = msgspec.yaml.encode(value).decode().rstrip("\n")
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write_raw(body: bytes) -> None:
    """Write bytes to stdout as they are."""
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()
