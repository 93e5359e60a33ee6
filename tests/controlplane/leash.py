"""Becomes another program that dies with whoever started it: `leash.py PARENT PROGRAM [ARGUMENT]...`.

A program of its own and no function run between fork and exec, which is unsafe where threads are. It never returns.
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
