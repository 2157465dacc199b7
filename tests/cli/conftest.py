"""`af` the way a shell runs it: one call and one server shared by all tests."""

import asyncio
import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import pytest

from agentfield_adapters.local.mouth.caller import Samples, silence, speech
from agentfield_rt.cli import program

EXAMPLE = Path(__file__).parents[2] / "examples" / "voice_support.py"
AF = [
    sys.executable,
    "-c",
    "import signal; signal.signal(2, signal.default_int_handler); from agentfield_rt.cli import main; main()",
]
SERVES = ("demo", "serve", "--version", "--help")
"""What is run in a process: it installs handlers of signals and logs, or is all there is to a start."""

RATE_HZ = 44_100
_SETTINGS = ("AGENTFIELD_", "OPENAI_")


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)

    @property
    def complaint(self) -> str:
        """The one line on stderr."""
        (line,) = self.err.strip().splitlines()
        return line


@dataclass(frozen=True, slots=True)
class Call:
    """What `af demo --call` gave."""

    ran: Ran
    data: Path
    reply: Path


def environment(**more: str) -> dict[str, str]:
    """This process's, without settings of the runtime, and 120 columns wide."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    return {**kept, "COLUMNS": "120", **more}


def af(*arguments: str | Path, given: str = "", timeout_s: float = 60, **variables: str) -> Ran:
    """Run `af` to its end. Here, if it can be: a process takes half a second to import what it needs."""
    if arguments[0] in SERVES or asyncio._get_running_loop() is not None:
        return af_process(*arguments, given=given, timeout_s=timeout_s, **variables)
    out, err = _stream(), _stream()
    with (
        mock.patch.dict(os.environ, environment(**variables), clear=True),
        mock.patch.object(sys, "argv", [AF[1], *map(str, arguments)]),
        mock.patch.object(sys, "stdin", _stream(given)),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = program.run()
    return Ran(code, _text(out), _text(err))


def _stream(text: str = "") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def af_process(*arguments: str | Path, given: str = "", timeout_s: float = 60, **variables: str) -> Ran:
    """Run `af` to its end in a process of its own."""
    done = subprocess.run(
        [*AF, *map(str, arguments)],
        input=given,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment(**variables),
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def start_af(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start `af` as a shell would: leader of a process group that Ctrl-C goes to."""
    return subprocess.Popen(
        [*AF, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        env=environment(),
    )


def press_ctrl_c(process: subprocess.Popen[str]) -> Ran:
    """Send what the terminal sends to the whole group, and wait for the end."""
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    return Ran(process.returncode, out, err)


def first_line(process: subprocess.Popen[str]) -> str:
    """The first line on stdout: a server is ready when it has printed one."""
    assert process.stdout is not None
    return process.stdout.readline()


def write_stereo(path: Path, mono: Samples) -> None:
    """A file as people have them: 44.1 kHz, two channels."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(np.column_stack([mono, mono]).astype("<i2").tobytes())


@pytest.fixture(scope="session")
def call(tmp_path_factory: pytest.TempPathFactory) -> Call:
    """One call: two requests, the second with a yes or no to come."""
    folder = tmp_path_factory.mktemp("call")
    room = silence(3_600, rate_hz=RATE_HZ)
    first, second = (
        speech(text, rate_hz=RATE_HZ) for text in ("where is order eight", "cancel order number twelve")
    )
    mono = np.concatenate([first, room, second])
    write_stereo(folder / "caller.wav", mono)
    reply = folder / "reply.wav"
    data = folder / "data"
    ran = af(
        *("demo", "--call", folder / "caller.wav", "--reply", reply, "--data", data, "--json"), timeout_s=90
    )
    return Call(ran, data, reply)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The example agent, served; its address and its data."""
    data = tmp_path_factory.mktemp("served")
    process = start_af("serve", EXAMPLE, "--port", "0", "--data", data, "--json")
    try:
        yield msgspec.json.decode(first_line(process))["url"], data
    finally:
        assert press_ctrl_c(process).code == 0


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]
