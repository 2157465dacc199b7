"""Planes for a test to kill: `python -m tests.plane.executions.killed_plane DATA PORT`.

For each line `start` a new process serves, forked so that it need not import everything again; it says where.
For each line `kill` the last one gets SIGKILL, and is gone when that is said.
"""

import os
import signal
import sys

from agentfield_rt.plane.executions import carrying
from agentfield_rt.plane.server import serve

IN_DOUBT_S = 0.5


def main(data: str, port: int) -> None:
    carrying.IN_DOUBT_S = IN_DOUBT_S
    child = 0
    for line in sys.stdin:
        if line == "start\n":
            child = os.fork()
            if not child:
                serve([], port=port, data=data)
                os._exit(0)
        else:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            child = 0
            sys.stdout.write("killed\n")
            sys.stdout.flush()
    if child:
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
