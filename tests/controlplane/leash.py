"""Becomes another program that dies together with its parent: `leash.py PARENT PROGRAM [ARGUMENT]...`.

It is a program, because a function between fork and exec is unsafe with threads. It never returns.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it died before the line above
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - the whole point
