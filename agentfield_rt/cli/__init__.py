"""The command line, `af`. Nothing else in the runtime may import it."""

import sys


def main() -> None:
    """Run `af` with the arguments of this process, and exit."""
    try:
        from agentfield_rt.cli.program import run
    except ModuleNotFoundError as error:
        sys.stderr.write(f"af: the command line needs {error.name}; pip install 'agentfield-rt[all]'\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run())
