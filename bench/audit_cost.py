"""What an audit of a crowded cluster takes: `python -m bench.audit_cost`.

5,000 resources of the operator, with a Deployment, a ReplicaSet and four pods of each, in a real API server. Each audit
is the command, as a process of its own: wall time, processor time, and the most memory beyond that of an audit of an
empty namespace.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from bench.crowd import Crowd
from bench.scale import NAMESPACES, QUIET
from tests.controlplane.plane import ControlPlane, control_plane
from tests.support.server import environment

EMPTY = "empty"


class Cost(NamedTuple):
    """Of one audit: seconds, seconds of processor time, and the peak of memory in MiB."""

    wall: float
    processor: float
    memory: float


def main() -> None:
    """Fill, audit and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.audit_cost", description="the cost of an audit")
    parser.add_argument("--resources", type=int, default=5000, help="resources of the operator (default 5000)")
    parser.add_argument("--pods", type=int, default=4, help="pods of each (default 4)")
    options = parser.parse_args()
    with control_plane(flags=QUIET) as plane:
        begun = time.monotonic()
        asyncio.run(_fill(plane, options.resources, options.pods))
        pods = options.resources * options.pods
        print(f"{options.resources} resources, {pods} pods, made in {time.monotonic() - begun:.0f} s", flush=True)
        base = _audit(plane, "-n", EMPTY)
        print(f"empty namespace: {base.wall:.1f} s, {base.memory:.0f} MiB")
        for arguments in (["-o", "table"], ["-o", "table", "--qps", "1000"], ["-o", "html"], ["-o", "json"]):
            cost = _audit(plane, "-A", *arguments)
            figures = (
                f"{cost.wall:.1f} s, {cost.processor:.1f} s of processor time, {cost.memory - base.memory:+.0f} MiB"
            )
            print(f"{' '.join(arguments)}: {figures}", flush=True)


async def _fill(plane: ControlPlane, resources: int, pods: int) -> None:
    plane.install_resources()
    plane.namespace(EMPTY)
    crowd = Crowd(plane)
    try:
        namespaces = [plane.namespace(f"crowd-{number}") for number in range(NAMESPACES)]
        await crowd.fill(resources, namespaces, "c", leftovers=False)
        await crowd.create_pods(pods)
    finally:
        await crowd.close()


def _audit(plane: ControlPlane, *arguments: str) -> Cost:
    words = [sys.executable, "-m", "webhook.cli.main", "audit", "--kubeconfig", str(plane.kubeconfig()), *arguments]
    begun = time.monotonic()
    peak = 0.0
    with Path(os.devnull).open("wb") as nothing:
        process = subprocess.Popen(words, stdout=nothing, env=environment())
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, _most_resident(process.pid))
            time.sleep(0.1)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode in {0, 1}, f"exit status {process.returncode}"
    return Cost(time.monotonic() - begun, usage.ru_utime + usage.ru_stime, peak)


def _most_resident(pid: int) -> float:
    """The most memory that a process had so far, in MiB. `ru_maxrss` has that of its parent before the exec."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    main()
