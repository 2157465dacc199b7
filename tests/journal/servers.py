"""Throw-away servers for the tests of server stores, as their manuals say to start them."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
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
        """All its processes: a backend of PostgreSQL outlives its server long enough to commit once more."""
        self._process.send_signal(signal.SIGSTOP)  # so that it neither starts more nor reaps these
        pid = self._process.pid
        backends: list[str] = []
        with suppress(FileNotFoundError):  # it has ended by itself
            backends = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self._process.kill()
        for backend in backends:
            with suppress(ProcessLookupError):
                os.kill(int(backend), signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def restart(self) -> None:
        """In order, but without waiting for clients to leave: PostgreSQL's fast shutdown."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()
        self.start()


READY_MAX_S = 60.0


def wait_until_ready(url: str, server: Server) -> None:
    """A server that recovers listens before it lets anyone in."""
    import psycopg

    deadline = time.monotonic() + READY_MAX_S
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            server.ensure_running()
            time.sleep(0.05)


def create_database(server: Server) -> str:
    """The URL of a new database."""
    import psycopg
    from psycopg.sql import SQL, Identifier

    base = f"postgresql://postgres@127.0.0.1:{server.port}"
    name = f"test_{secrets.token_hex(6)}"
    wait_until_ready(f"{base}/postgres", server)
    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    return f"{base}/{name}"


class PostgresFolder:
    """A folder that PostgreSQL's programs may use, also when the tests run as root."""

    def __init__(self) -> None:
        self.programs = Path(os.path.realpath(find_program("postgres") or "")).parent
        self.path = Path(tempfile.mkdtemp(prefix="journal-postgres-"))
        self._as_user: list[str] = []
        if os.getuid() == 0:
            shutil.chown(self.path, "postgres")
            self._as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]

    def run(self, program: str, *arguments: str | Path) -> None:
        subprocess.run(
            [*self._as_user, self.programs / program, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.path,
        )

    def serve(self, data: Path, **settings: str) -> Server:
        port = free_port()
        options = ["-p", str(port), "-k", str(self.path), "-c", "listen_addresses=127.0.0.1"]
        for name, value in settings.items():
            options += ["-c", f"{name}={value}"]
        command = [*self._as_user, str(self.programs / "postgres"), "-D", str(data), *options]
        return Server(command, port=port, folder=self.path)


@contextmanager
def postgres() -> Generator[Server]:
    """PostgreSQL with its default durability; user and database `postgres`, no password."""
    folder = PostgresFolder()
    data = folder.path / "data"
    folder.run("initdb", "-D", data, "-A", "trust", "-U", "postgres")
    server = folder.serve(data)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder.path, ignore_errors=True)


@contextmanager
def postgres_pair() -> Generator[tuple[Server, Server]]:
    """A primary and its standby; the primary acknowledges nothing that the standby has not synced."""
    folder = PostgresFolder()
    first, second = folder.path / "first", folder.path / "second"
    folder.run("initdb", "-D", first, "-A", "trust", "-U", "postgres")
    started: list[Server] = []
    try:
        primary = folder.serve(first, synchronous_standby_names="standby")
        started.append(primary)
        address = f"host=127.0.0.1 port={primary.port} user=postgres"
        wait_until_ready(f"{address} dbname=postgres", primary)
        folder.run("pg_basebackup", "-D", second, "-R", "-c", "fast", "-d", address)
        standby = folder.serve(second, cluster_name="standby")
        started.append(standby)
        wait_until_ready(f"host=127.0.0.1 port={standby.port} user=postgres dbname=postgres", standby)
        yield primary, standby
    finally:
        for server in started:
            server.kill()  # what waits for a standby that is gone would hold up an orderly end
        shutil.rmtree(folder.path, ignore_errors=True)


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
