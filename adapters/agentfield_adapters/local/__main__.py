"""`python -m agentfield_adapters.local`: the local provider alone."""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path

from agentfield_adapters.local.faults.compact import fault_of
from agentfield_adapters.local.faults.fault import KNOBS, Fault, FaultRefused
from agentfield_adapters.local.instrument.log import Log
from agentfield_adapters.local.scenario.reading import ScenarioRefused, read_scenario
from agentfield_adapters.local.scenario.scenario import Scenario
from agentfield_adapters.local.server import EXIT_USAGE, ProviderOptions, serve


def main(arguments: list[str] | None = None) -> int:
    """Run the provider with a command line's options and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        provider_options = _provider_options(options)
    except (ScenarioRefused, FaultRefused) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    except OSError as error:
        sys.stderr.write(f"Cannot write {options.log}: {error.strerror or error}.\n")
        return EXIT_USAGE
    return serve(
        options.host,
        options.port,
        options=provider_options,
        exit_with_parent=options.exit_with_parent,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m agentfield_adapters.local",
        description="A realtime voice provider on this machine.",
        epilog=f"Faults: {', '.join(KNOBS)}.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--seed", type=int, help="of all ids: the same input gives the same events")
    parser.add_argument("--api-key", help="the only bearer that is let in; without it any is")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input does")
    parser.add_argument(
        "--scenario", action="append", default=[], type=Path, metavar="FILE",
        help="what it understands, says and breaks; of several, the first is every call's, and a call may "
        "name another by its file's stem",
    )  # fmt: skip
    parser.add_argument(
        "--synthetic", action="store_true",
        help="without a scenario: ears and mouth that load no model, at an instant pace",
    )  # fmt: skip
    parser.add_argument(
        "--fault", action="append", default=[], metavar="FAULT",
        help="KNOB[=VALUE][_at=N][,OPTION=VALUE], such as drop_at=7 or status=429,retry_after_s=2",
    )  # fmt: skip
    parser.add_argument("--log", type=Path, metavar="FILE", help="write what comes and goes, as JSON lines")
    parser.add_argument("--log-audio", action="store_true", help="keep audio in the log, not its digests")
    parser.add_argument(
        "--admin", action="store_true", help="faults, scenarios and the log over HTTP, for this machine alone"
    )
    return parser


def _provider_options(options: argparse.Namespace) -> ProviderOptions:
    faults: list[Fault] = [fault_of(text) for text in options.fault]
    scenarios = {path.stem: read_scenario(path) for path in options.scenario}
    if options.synthetic and not scenarios:
        scenarios = {"synthetic": Scenario(senses="synthetic", pace="instant")}
    wants_log = options.log is not None or options.admin
    return ProviderOptions(
        seed=options.seed,
        api_key=options.api_key,
        scenarios=scenarios,
        faults=faults,
        log=Log(path=options.log, with_audio=options.log_audio) if wants_log else None,
        admin_token=secrets.token_urlsafe(24) if options.admin else None,
    )


if __name__ == "__main__":
    sys.exit(main())
