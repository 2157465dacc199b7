"""Real processes: `af serve`, and agents of the published SDK, each killed and started as a test says."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
SDK = ROOT / ".venv-agentfield"
AF = Path(sys.executable).with_name("af")
READY_MAX_S = 60.0
STOP_MAX_S = 20.0


def sdk_python() -> Path:
    """The Python that has the published SDK; without it, the test is skipped."""
    if not any(SDK.glob(".installed-*")):
        pytest.skip(
            "the published agentfield is not installed: `make agentfield` does it, from a package index"
        )
    return SDK / "bin" / "python"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Running:
    """A process that says on a line of its output that it is ready."""

    command: list[str]
    environment: dict[str, str]
    is_ready: Callable[[str], bool]
    lines: list[str] = field(default_factory=list[str])
    process: subprocess.Popen[str] | None = None
    reader: threading.Thread | None = None

    def start(self) -> None:
        """Start it, and return once it is ready."""
        ready = threading.Event()
        telling = {"PYTHONUNBUFFERED": "1", "AGENTFIELD_RT_TRACEBACK": "1"}
        environment = {**os.environ, **telling, **self.environment}
        process = self.process = subprocess.Popen(
            self.command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        output = process.stdout

        def read() -> None:
            for line in output:
                self.lines.append(line)
                if self.is_ready(line):
                    ready.set()
            ready.set()

        self.reader = threading.Thread(target=read, name=self.command[-1])
        self.reader.start()
        is_up = ready.wait(READY_MAX_S) and process.poll() is None
        if not is_up:
            self.kill()
        assert is_up, self.output

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """Signal it, and return once it is gone."""
        process, reader = self.process, self.reader
        if process is None or reader is None:
            return
        self.process = None
        process.send_signal(sign)
        try:
            process.wait(STOP_MAX_S)
        finally:
            process.kill()
            process.wait()
            reader.join(STOP_MAX_S)
            assert process.stdout is not None
            process.stdout.close()

    def kill(self) -> None:
        """No chance to say or write anything."""
        self.stop(signal.SIGKILL)


@dataclass
class Field:
    """A control plane and its agents."""

    folder: Path
    port: int
    server: Running
    client: httpx.Client
    agents: dict[str, Running] = field(default_factory=dict[str, Running])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def agent(self, script: Path, **environment: str) -> Running:
        """An agent of the SDK, running, under the name of its script."""
        port = free_port()
        given = {
            "AGENTFIELD_SERVER": self.url,
            "AGENTFIELD_DISABLE_IP_DETECTION": "1",
            "AGENT_CALLBACK_URL": f"http://127.0.0.1:{port}",
            "PORT": str(port),
            **environment,
        }
        running = Running([str(sdk_python()), str(script)], given, lambda line: "Uvicorn running on" in line)
        self.agents[script.stem] = running
        running.start()
        return running

    def get(self, path: str, **query: Any) -> Any:
        answer = self.client.get(f"/api/v1{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.client.post(f"/api/v1{path}", json=body, headers=headers)

    def execute(self, target: str, **given: Any) -> dict[str, Any]:
        """Have it done and wait for what comes of it."""
        answer: dict[str, Any] = self.post(f"/execute/{target}", {"input": given}).json()
        return answer

    def submit(self, target: str, **given: Any) -> str:
        """Have it done some time; returns its id."""
        answer = self.post(f"/execute/async/{target}", {"input": given})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["execution_id"])

    def until(self, execution_id: str, *statuses: str) -> dict[str, Any]:
        """An execution, once it has one of these statuses."""
        while True:
            found: dict[str, Any] = self.get(f"/executions/{execution_id}")
            if found["status"] in statuses:
                return found

    def records(self, session_id: str, *, until: str) -> list[dict[str, Any]]:
        """A session's records, up to the first of a kind."""
        found: list[dict[str, Any]] = []
        path = f"/api/v1/session-instances/{session_id}/events"
        with self.client.stream("GET", path, timeout=READY_MAX_S) as events:
            is_record = False
            for line in events.iter_lines():
                if line.startswith("event:"):
                    is_record = line == "event: record"
                elif line.startswith("data:") and is_record:
                    found.append(json.loads(line.removeprefix("data:")))
                    if found[-1]["kind"] == until:
                        break
        return found

    def lifecycle(self, node_id: str) -> str:
        return str(self.get(f"/nodes/{node_id}")["lifecycle_status"])


@contextmanager
def field_of(folder: Path, **environment: str) -> Generator[Field]:
    """`af serve`, with nothing registered yet; at the end no process is left."""
    port = free_port()
    command = [str(AF), "serve", "--json"]
    command += ["--port", str(port), "--data", str(folder / "data")]
    server = Running(command, environment, lambda line: line.startswith("{") and "url" in json.loads(line))
    server.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=100) as client:
        it = Field(folder, port, server, client)
        try:
            yield it
        finally:
            for running in (*it.agents.values(), server):
                running.stop()
