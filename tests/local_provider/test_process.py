"""The provider as a process: it says when it is ready, ends when told, and never outlives its parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.local_provider.provider_process import RunningProvider, running_provider

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "agentfield_adapters.local", "--exit-with-parent"],
                         stdin=subprocess.PIPE)
child.wait()
"""


def test_a_port_in_use_is_one_clear_message(provider: RunningProvider) -> None:
    port = provider.url.rpartition(":")[2]
    run = subprocess.run(
        [sys.executable, "-m", "agentfield_adapters.local", "--port", port],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1 and port in run.stderr and "--port" in run.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    with running_provider() as running:
        running.process.send_signal(number)
        assert running.process.wait(timeout=10) == 0


def test_a_killed_parent_leaves_no_provider_and_no_child_of_it() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    ready = json.loads(parent.stdout.readline())
    family = [ready["pid"], *children_of(ready["pid"])]
    assert len(family) == 3  # the provider, its ears, its mouth
    parent.kill()
    parent.wait()
    assert parent.stdout.read() == b""  # returns when the last holder of the pipe has ended
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while any(is_alive(pid) for pid in family):
        assert time.monotonic() < deadline, "the provider outlived its parent"
        time.sleep(0.02)


def children_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        return [int(child) for child in children.read().split()]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rpartition(")")[2].split()[0] != "Z"
