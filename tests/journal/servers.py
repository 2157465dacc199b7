"""Throw-away servers for the tests of server stores, as their manuals say to start them."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


def find_program(name: str) -> str | None:
    """Debian keeps PostgreSQL's programs out of the path."""
    found = shutil.which(name)
    return found or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server process that can be killed and started again on the same data."""

    def __init__(self, command: list[str], *, port: int, folder: Path) -> None:
        self._command = command
        self._folder = folder
        self.port = port
        self.start()

    def _spawn(self) -> None:
        self._process = subprocess.Popen(
            self._command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def start(self) -> None:
        self._spawn()
        deadline = time.monotonic() + 20
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._command[0]} did not start")
            time.sleep(0.02)
            if self._process.poll() is not None:
                self._spawn()

    def ensure_running(self) -> None:
        """Start it again if it gave up: it does while processes of a killed one hold its memory."""
        if self._process.poll() is not None:
            self.start()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


@contextmanager
def postgres() -> Generator[Server]:
    """PostgreSQL with its default durability; user and database `postgres`, no password."""
    programs = Path(os.path.realpath(find_program("postgres") or "")).parent
    folder = Path(tempfile.mkdtemp(prefix="journal-postgres-"))
    as_user: list[str] = []
    if os.getuid() == 0:
        shutil.chown(folder, "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data = folder / "data"
    subprocess.run(
        [*as_user, programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=folder,
    )
    port = free_port()
    options = ["-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1"]
    server = Server(
        [*as_user, str(programs / "postgres"), "-D", str(data), *options], port=port, folder=folder
    )
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def nats() -> Generator[Server]:
    """A NATS server with JetStream on disk."""
    folder = Path(tempfile.mkdtemp(prefix="journal-nats-"))
    port = free_port()
    command = [
        str(find_program("nats-server")),
        "-a",
        "127.0.0.1",
        "-p",
        str(port),
        "-js",
        "-sd",
        str(folder),
    ]
    server = Server(command, port=port, folder=folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
