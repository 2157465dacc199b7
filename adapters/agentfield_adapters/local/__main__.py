"""`python -m agentfield_adapters.local`: the local provider alone."""

from __future__ import annotations

import argparse
import sys

from agentfield_adapters.local.server import serve


def main(arguments: list[str] | None = None) -> int:
    """Run the provider with a command line's options and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m agentfield_adapters.local", description="A realtime voice provider on this machine."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--seed", type=int, help="of all ids: the same input gives the same events")
    parser.add_argument("--api-key", help="the only bearer that is let in; without it any is")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input does")
    options = parser.parse_args(arguments)
    return serve(
        options.host,
        options.port,
        seed=options.seed,
        api_key=options.api_key,
        exit_with_parent=options.exit_with_parent,
    )


if __name__ == "__main__":
    sys.exit(main())
