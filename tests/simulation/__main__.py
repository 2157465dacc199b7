"""Worlds from seeds.

python -m tests.simulation --seed 7 --hours 1          one world, again
python -m tests.simulation --session-hours 5000        as many as it takes
"""

import argparse
import os
import sys

from tests.simulation.campaign import Campaign, run_campaign, world
from tests.simulation.options import options_of


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="tests.simulation"
    )
    parser.add_argument("--seed", type=int, default=0, help="the seed, or the first one")
    parser.add_argument("--hours", type=float, default=1.0, help="how long a world lasts")
    parser.add_argument("--session-hours", type=float, default=0.0, help="go on until so many are simulated")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many worlds at a time")
    options = parser.parse_args()
    if options.session_hours:
        campaign = run_campaign(options.seed, options.hours, options.session_hours, options.jobs)
    else:
        sys.stdout.write(f"{options_of(options.seed)}\n")
        campaign = Campaign()
        campaign.add(options.seed, world(options.seed, options.hours))
    for what, times in sorted(campaign.sometimes.items()):
        sys.stdout.write(f"{times:8} {what}\n")
    sys.stdout.write(f"{campaign}\n")
    sys.exit(bool(campaign.broken))


if __name__ == "__main__":
    main()
