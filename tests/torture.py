"""What takes too long for every test run: `make torture`, `python -m tests.torture`.

Worlds until 5,000 session-hours are simulated, a million steps of every state machine, 200 planes killed
under executions, and what `tests.journal.torture` does to a journal; it gets the arguments that are not known
here.
"""

import argparse
import os
import subprocess
import sys
import time

from tests.simulation.campaign import run_campaign
from tests.simulation.sometimes import OFTEN, SELDOM
from tests.state_machines import MACHINES, run_machine

PARTS = ("worlds", "machines", "executions", "journal")
EXECUTION_KILLS = 200
SEES_EVERYTHING_H = 1_000


def worlds(options: argparse.Namespace) -> bool:
    campaign = run_campaign(options.seed, options.hours, options.session_hours, options.jobs)
    missing = (OFTEN | SELDOM) - set(campaign.sometimes) if options.session_hours >= SEES_EVERYTHING_H else ()
    say(f"worlds: {campaign}")
    if missing:
        say(f"never happened: {', '.join(sorted(missing))}")
    return not (campaign.broken or missing)


def machines(options: argparse.Namespace) -> bool:
    sound = True
    for name in MACHINES:
        started_s = time.monotonic()
        steps, broken = run_machine(name, options.steps, options.seed, options.jobs)
        minutes = (time.monotonic() - started_s) / 60
        say(f"{name}: {steps:,} steps, {steps / minutes:,.0f} a minute, {'broken' if broken else 'sound'}")
        for told in broken:
            say(told)
        sound = sound and not broken
    return sound


def executions(options: argparse.Namespace) -> bool:
    command = [sys.executable, "-m", "tests.plane.executions.kills", str(EXECUTION_KILLS)]
    return subprocess.run(command, check=False).returncode == 0


def journal(options: argparse.Namespace) -> bool:
    command = [sys.executable, "-m", "tests.journal.torture", *options.rest]
    return subprocess.run(command, check=False).returncode == 0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; may be repeated")
    parser.add_argument("--seed", type=int, default=1_000, help="the first one, of worlds and machines")
    parser.add_argument("--hours", type=float, default=1.0, help="how long a world lasts")
    parser.add_argument("--session-hours", type=float, default=5_000)
    parser.add_argument("--steps", type=int, default=1_000_000, help="of every state machine")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options, rest = parser.parse_known_args()
    options.rest, chosen = rest, options.only or PARTS
    if rest and "journal" not in chosen:
        parser.error(f"unknown: {' '.join(rest)}")
    parts = {"worlds": worlds, "machines": machines, "executions": executions, "journal": journal}
    results = [parts[part](options) for part in chosen]
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
