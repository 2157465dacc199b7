"""Has schemathesis judge the OpenAPI document against a real server: `python -m tests.plane.openapi_judge`.

What it sends is drawn from the document, right and wrong; the document has to tell of every answer.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.plane.serving import Served, served

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")

STREAMS = r"/(events|sse|media)$"
"""Event streams last as long as what they tell of; `test_events.py` reads them."""

ALL_PHASES = "examples,coverage,fuzzing,stateful"


def judge(examples: int, *, phases: str = ALL_PHASES, more: tuple[str, ...] = ()) -> int:
    """Judge a fresh server, so many cases per operation; returns schemathesis' exit code, 0: no failure."""
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
        served(Path(folder) / "data", patch) as server,
    ):
        command = _command(server, CONFIG, examples)
        return _run([*command, "--phases", phases, "--exclude-path-regex", STREAMS, *more], Path(folder))


def judge_what_there_is(examples: int, *, more: tuple[str, ...] = ()) -> int:
    """As `judge`, with right requests about a session, an execution and a target that there are."""
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
        served(Path(folder) / "data", patch) as server,
    ):
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
        streams = ("--exclude-path-regex", rf"{STREAMS}|/(close|shutdown)$", "--exclude-method", "DELETE")
        command = _command(server, config, examples)
        return _run([*command, "--phases", "fuzzing", "--mode", "positive", *streams, *more], Path(folder))


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
