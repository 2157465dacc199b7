"""What is in `deploy/` fits the program: its settings exist, and the unit may do as little as it says."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agentfield_rt.config import Settings, variable_of
from agentfield_rt.plane.operation.instruments import INSTRUMENTS

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "agentfield-rt.service"
EXPOSURE_TENTHS_MAX = 15
"""systemd's own judgement, of 100: what it calls OK ends at 40."""


@pytest.mark.parametrize(
    "name", ["deploy/agentfield-rt.service", "deploy/Containerfile", "docs/how-to/deploy.md"]
)
def test_every_setting_that_is_named_is_one(name: str) -> None:
    known = {variable_of(setting, field) for setting, field in Settings.model_fields.items()}
    named = set(re.findall(r"AGENTFIELD_RT_[A-Z_]+", (ROOT / name).read_text()))
    assert named
    assert named <= known
    secrets = re.findall(r"LoadCredential=(\w+):/etc", (ROOT / name).read_text())
    assert {secret.upper() for secret in secrets} <= known


CLOSING_S = 25
"""From the end of draining to the end of the process, with every part of it as slow as it may be."""


def test_whoever_stops_it_waits_until_it_has_drained_and_closed() -> None:
    guide = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
    (stop_s,) = map(float, re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE))
    (container_stop_s,) = map(float, re.findall(r"--stop-timeout (\d+)", guide))
    (drain_s,) = map(float, re.findall(r"^drain_s = (\d+)", guide, re.MULTILINE))
    assert max(drain_s, Settings.model_fields["drain_s"].default) + CLOSING_S <= min(stop_s, container_stop_s)


def test_every_metric_of_the_guide_s_alarms_is_exposed() -> None:
    guide = (ROOT / "docs" / "how-to" / "watch-a-server.md").read_text()
    (alarms,) = re.findall(r"```promql\n(.*?)```", guide, re.DOTALL)
    names = {
        re.sub(r"_(bucket|count|sum)$", "", name)
        for name in re.findall(r"(?:agentfield|gen_ai)_\w+(?=[\[{])", alarms)
    }
    assert names
    assert names <= {instrument.exposed_as for instrument in INSTRUMENTS}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_the_unit_may_do_little_and_systemd_understands_all_of_it() -> None:
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_TENTHS_MAX}", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout + judged.stderr
    read = subprocess.run(
        ["systemd-analyze", "verify", str(UNIT)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in read.stderr.splitlines() if "is not executable" not in line]
    assert complaints == []
