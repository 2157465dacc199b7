"""A plane without agents, for a test to kill: `python -m tests.memory.killed_server DATA`."""

import sys

from agentfield_rt.plane.server import serve

if __name__ == "__main__":
    serve([], port=0, data=sys.argv[1])
