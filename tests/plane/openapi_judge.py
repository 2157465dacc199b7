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

from tests.plane.serving import served

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
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)),
            *("run", f"{server.url}/openapi.json"),
            *("--checks", "all", "--phases", phases, "--max-examples", str(examples)),
            *("--exclude-path-regex", STREAMS, "--request-timeout", "20"),
            *("--generation-deterministic", "--continue-on-failure", "--no-color", *more),
        ]
        hooks = {"SCHEMATHESIS_HOOKS": "tests.plane.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=folder, env=os.environ | hooks, check=False).returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="cases per operation")
    parser.add_argument("--phases", default=ALL_PHASES)
    known, others = parser.parse_known_args()
    logging.basicConfig(level=logging.WARNING)
    sys.exit(judge(known.examples, phases=known.phases, more=tuple(others)))
