"""A server over the real local provider, for a test to kill: `python -m tests.plane.killed_server DATA`."""

import sys

from agentfield_rt.plane.server import serve
from tests.plane.serving import desk

if __name__ == "__main__":
    serve([desk()], port=0, data=sys.argv[1])
