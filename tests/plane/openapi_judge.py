"""Has schemathesis judge the OpenAPI document against a real server: `python -m tests.plane.openapi_judge`.

What it sends is drawn from the document, right and wrong; the document has to tell of every answer.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentfield_rt.plane import server as plane_server
from agentfield_rt.plane.app import create_app
from tests.plane.serving import Served, served

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")

ALL_PHASES = "examples,coverage,fuzzing,stateful"


class ShortStreams:
    """Ends event streams that have begun: each lasts as long as what it tells of, and the judge waits for
    the end of every answer. What is in one, `test_events.py` reads."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ended = asyncio.Event()

        async def send_beginning(message: Message) -> None:
            if ended.is_set():
                return
            await send(message)
            if message["type"] == "http.response.start" and _is_stream(message):
                ended.set()
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        async def receive_or_end() -> Message:
            if ended.is_set():
                return {"type": "http.disconnect"}
            asked, over = asyncio.ensure_future(receive()), asyncio.ensure_future(ended.wait())
            done, left = await asyncio.wait((asked, over), return_when=asyncio.FIRST_COMPLETED)
            for task in left:
                task.cancel()
            return asked.result() if asked in done else {"type": "http.disconnect"}

        await self._app(scope, receive_or_end if scope["type"] == "http" else receive, send_beginning)


def _is_stream(message: Message) -> bool:
    return (b"content-type", b"text/event-stream; charset=utf-8") in message["headers"]


@contextlib.contextmanager
def judged(folder: Path) -> Generator[Served]:
    """A fresh server whose event streams are short."""

    def create_short(*given: Any, **more: Any) -> FastAPI:
        app = create_app(*given, **more)
        app.add_middleware(ShortStreams)
        return app

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plane_server, "create_app", create_short)
        with served(folder / "data", patch) as server:
            yield server


def judge(examples: int, *, phases: str = ALL_PHASES, more: tuple[str, ...] = ()) -> int:
    """Judge a fresh server, so many cases per operation; returns schemathesis' exit code, 0: no failure."""
    with tempfile.TemporaryDirectory() as folder, judged(Path(folder)) as server:
        command = _command(server, CONFIG, examples)
        return _run([*command, "--phases", phases, *more], Path(folder))


def judge_what_there_is(examples: int, *, more: tuple[str, ...] = ()) -> int:
    """As `judge`, with right requests about a session, an execution and a target that there are."""
    with tempfile.TemporaryDirectory() as folder, judged(Path(folder)) as server:
        session_id = server.start()
        execution_id = server.execute("desk.double", number=2)["execution_id"]
        known = {
            "path.session_id": session_id,
            "path.execution_id": execution_id,
            "path.run_id": session_id.replace("sess_", "run_"),
            "path.node_id": "desk",
            "path.tool": "double",
        }
        config = Path(folder) / "schemathesis.toml"
        named = "".join(f'"{name}" = "{value}"\n' for name, value in known.items())
        config.write_text(f"[parameters]\n{named}\n{CONFIG.read_text()}")
        # Closing the session, and removing the node, would leave nothing to ask of.
        left = ("--exclude-path-regex", "/(close|shutdown)$", "--exclude-method", "DELETE")
        command = _command(server, config, examples)
        return _run([*command, "--phases", "fuzzing", "--mode", "positive", *left, *more], Path(folder))


def _command(server: Served, config: Path, examples: int) -> list[str]:
    return [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", f"{server.url}/openapi.json", "--checks", "all", "--max-examples", str(examples)),
        *("--request-timeout", "20", "--generation-deterministic", "--continue-on-failure", "--no-color"),
    ]


def _run(command: list[str], folder: Path) -> int:
    hooks = {"SCHEMATHESIS_HOOKS": "tests.plane.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=os.environ | hooks, check=False).returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="cases per operation")
    parser.add_argument("--phases", default=ALL_PHASES)
    known, others = parser.parse_known_args()
    logging.basicConfig(level=logging.WARNING)
    codes = [
        judge(known.examples, phases=known.phases, more=tuple(others)),
        judge_what_there_is(known.examples, more=tuple(others)),
    ]
    sys.exit(max(codes))
