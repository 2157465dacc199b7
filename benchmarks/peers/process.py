"""Peers in processes of their own, because what is loaded changes what a hop and the collector cost."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_S = 600


@dataclass(frozen=True)
class Peer:
    """Another framework's session.

    Attributes:
        script: The module here that measures it.
        folder: Where its packages are, inside the folder of all peers.
    """

    name: str
    script: str
    folder: str


LIVEKIT = Peer("LiveKit Agents", "livekit_session", "agents")
OPENAI_AGENTS = Peer("OpenAI Agents SDK", "openai_agents_session", "agents")
PIPECAT = Peer("Pipecat", "pipecat_pipeline", "pipecat")


def ask(peer: Peer, peers: Path | None, *what: object) -> Any | None:
    """What a peer's process measured; None if the peer is not installed there."""
    if peers is None or not (peers / peer.folder).is_dir():
        return None
    root = Path(__file__).parents[2]
    # No folder of this repository may hide a package of the peer's, so the script's own is not searched (-P).
    run = subprocess.run(
        [sys.executable, "-P", Path(__file__).with_name(f"{peer.script}.py"), *map(str, what)],
        env={**os.environ, "PYTHONPATH": f"{peers / peer.folder}{os.pathsep}{root}"},
        capture_output=True,
        timeout=TIMEOUT_S,
        text=True,
        check=False,
    )
    if run.returncode:
        raise RuntimeError(f"{peer.name} could not be measured: {run.stderr[-2_000:]}")
    return json.loads(run.stdout.splitlines()[-1])
